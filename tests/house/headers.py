#!/usr/bin/env python3
"""Checks that files include what they use, where a build may have compiled it for them before (stack/precompiled, tests/precompiled).

    headers.py ROOT          fails, with a list, where a file under ROOT uses a name whose system header neither it nor one of the tree's own
                             headers that it includes names
    headers.py --self-test   fails unless a missing header is found

Stricter than a compiler, which also takes what one system header brings of another. Prints TAP.
"""

import os
import re
import sys

sys.dont_write_bytecode = True

import tree_check  # noqa: E402

# A use, and the headers of which one must be there.
NAMES = [(re.compile(pattern), headers) for pattern, headers in (
    (r"\bstd::(ranges::)?(min|max|minmax|clamp|sort|stable_sort|find|find_if|find_if_not|copy|copy_n|copy_if|copy_backward|fill|fill_n|equal|"
     r"any_of|all_of|none_of|count|count_if|for_each|remove|remove_if|lower_bound|upper_bound|equal_range|reverse|rotate|min_element|"
     r"max_element|transform|unique|shuffle|search|mismatch|generate|partition|nth_element|binary_search|adjacent_find|merge|"
     r"push_heap|pop_heap|make_heap|lexicographical_compare)\(", ("algorithm",)),
    (r"\bstd::(array<|array\b|to_array\b)", ("array",)),
    (r"\bstd::(bit_width|bit_ceil|bit_floor|bit_cast|countl_zero|countr_zero|countl_one|countr_one|popcount|has_single_bit|endian|rotl|rotr)\b", ("bit",)),
    (r"(?<![\w:])assert\(", ("cassert", "assert.h")),
    (r"\bstd::(size_t|byte|ptrdiff_t|max_align_t|to_integer)\b", ("cstddef", "cstdlib", "cstring", "cstdio", "stddef.h")),
    (r"\bstd::u?int(_fast|_least)?(8|16|32|64|max|ptr)_t\b", ("cstdint", "stdint.h")),
    (r"\bstd::(memcpy|memset|memcmp|memmove|memchr|strlen|strcmp|strncmp|strerror|strchr|strrchr|strstr|strncpy|strcpy)\b", ("cstring", "string.h")),
    (r"\bstd::(function|hash|reference_wrapper|ref|cref|bind|less|greater|equal_to|invoke|mem_fn)\b", ("functional",)),
    (r"\bstd::numeric_limits\b", ("limits",)),
    (r"\bstd::(unique_ptr|shared_ptr|weak_ptr|make_unique|make_shared|addressof|construct_at|destroy_at|enable_shared_from_this|allocator)\b", ("memory",)),
    (r"\bstd::(optional|nullopt|make_optional)\b", ("optional",)),
    (r"\bstd::(span|as_bytes|as_writable_bytes|dynamic_extent)\b", ("span",)),
    (r"\bstd::(string|to_string|stoul|stoi|getline)\b", ("string",)),
    (r"\bstd::string_view\b", ("string_view", "string")),
    (r"\bstd::(exchange|pair|make_pair|in_place|index_sequence|make_index_sequence|piecewise_construct)\b", ("utility", "map", "tuple", "variant", "optional")),
    (r"\bstd::(move|swap|forward|as_const)\(", ("utility", "algorithm", "memory", "vector", "string", "optional", "functional", "map", "tuple", "thread")),
    (r"\bstd::vector\b", ("vector",)),
    (r"\bstd::chrono::", ("chrono",)),
    (r"\bstd::(multi)?map\b", ("map",)),
    (r"\bstd::(multi)?set\b", ("set",)),
    (r"\bstd::(mt19937|mt19937_64|uniform_\w+_distribution|random_device|bernoulli_distribution|exponential_distribution|normal_distribution)\b", ("random",)),
    (r"\bstd::([io]?stringstream)\b", ("sstream",)),
    (r"\bstd::(thread|jthread|this_thread)\b", ("thread",)),
    (r"\bboost::intrusive::list\b|\bbi::list\b", ("boost/intrusive/list.hpp",)),
    (r"\bboost::intrusive::(multi)?set\b|\bbi::(multi)?set\b", ("boost/intrusive/set.hpp",)),
    (r"\bboost::intrusive::unordered_(multi)?set\b", ("boost/intrusive/unordered_set.hpp",)),
    (r"^\s*(TEST|TEST_F|TEST_P|TYPED_TEST|EXPECT_\w+|ASSERT_\w+)\(", ("gtest/gtest.h", "gmock/gmock.h")),
    (r"\b(MOCK_METHOD|EXPECT_THAT|ASSERT_THAT)\(", ("gmock/gmock.h",)),
)]
COMMENT = re.compile(r'//[^\n]*|/\*.*?\*/|R"(\w*)\(.*?\)\1"|"(?:[^"\\\n]|\\.)*"', re.DOTALL)
FOLDERS = ("stack", "drivers", "apps", "bench", "tests")
# Where quoted includes are looked for, after the folder of the file itself.
ROOTS = ("stack", "stack/include", "drivers", "apps", "apps/millrace", "bench", "bench/load", "tests", "tests/support", "tests/posix")


class Tree:
    def __init__(self, top):
        self._top = top
        self._known = {}  # a file: the system headers that it and its own headers include

    def files(self):
        for folder in FOLDERS:
            for directory, _, names in os.walk(os.path.join(self._top, folder)):
                yield from (os.path.normpath(os.path.join(directory, name)) for name in names
                            if name.endswith((".h", ".cc")) and not directory.endswith("precompiled"))

    def system_headers(self, path):
        if path not in self._known:
            self._known[path] = set()  # for headers that include each other
            found = set()
            for kind, name in tree_check.INCLUDE.findall(read(path)):
                if kind == "<":
                    found.add(name)
                elif (own := self._find(path, name)) is not None:
                    found |= self.system_headers(own)
            self._known[path] = found
        return self._known[path]

    def _find(self, path, name):
        for folder in (os.path.dirname(path), *(os.path.join(self._top, root) for root in ROOTS)):
            candidate = os.path.normpath(os.path.join(folder, name))
            if os.path.exists(candidate):
                return candidate
        return None

    def missing(self, path):
        """(line, what is used, a header for it)."""
        there = self.system_headers(path)
        told = set()
        code = COMMENT.sub(lambda found: "\n" * found.group(0).count("\n") + '""' * found.group(0).startswith('"'),
                           re.sub(r"^\s*#\s*include[^\n]*", "", read(path), flags=re.MULTILINE))
        for number, line in enumerate(code.splitlines(), 1):
            for pattern, headers in NAMES:
                found = pattern.search(line)
                if found and headers[0] not in told and not there.intersection(headers):
                    told.add(headers[0])
                    yield number, found.group(0).strip(), headers[0]


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def check(top):
    """(violations, files)."""
    tree = Tree(top)
    files = sorted(tree.files())
    return [f"{os.path.relpath(path, top)}:{number}: {use} without <{header}>"
            for path in files for number, use, header in tree.missing(path)], len(files)


CASES = (
    ("its own", {"stack/a.cc": "#include <vector>\nstd::vector<int> a;\n"}, False),
    ("by its own header", {"stack/b/b.h": "#include <vector>\n", "stack/a.cc": '#include "b/b.h"\nstd::vector<int> a;\n'}, False),
    ("by a header's header", {"stack/c.h": "#include <span>\n", "stack/b.h": '#include "c.h"\n', "tests/a.cc": '#include "b.h"\nstd::span<int> a;\n'}, False),
    ("none", {"stack/a.cc": "std::vector<int> a;\n"}, True),
    ("another", {"apps/a.cc": "#include <string>\nstd::optional<int> a;\n"}, True),
    ("in a comment", {"apps/a.cc": "// std::vector\n/* std::span\n std::map */\n"}, False),
    ("in a text", {"apps/a.cc": 'auto a = "std::vector";\n'}, False),
    ("of a macro", {"tests/a_test.cc": "TEST(A, B) {}\n"}, True),
    ("what is compiled before", {"stack/precompiled/common.h": "#include <vector>\n", "stack/a.cc": "std::vector<int> a;\n"}, True),
)

if __name__ == "__main__":
    sys.exit(tree_check.main(check, CASES, "a missing header", 200, "each file includes what it uses of the common system headers"))
