/* What marks a Go program: a note with that name. */
__asm__(
    ".pushsection .note.go.buildid, \"a\", @note\n"
    ".balign 4\n"
    ".long 4, 4, 4\n"
    ".asciz \"Go\"\n"
    ".byte 0\n"
    ".ascii \"test\"\n"
    ".popsection");

int main(void) {
  return 0;
}
