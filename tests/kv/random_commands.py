"""Random sequences of commands, sensible and not, for two servers to be compared by."""

import random

KEYS = [b"a", b"b", b"c", b"counter", b"float", b"", b"a key", b"k\x00\xff\r\n", b"x" * 300, b"user:1", b"user:2", b"user:10"]
INTEGERS = [0, 1, -1, 2, 10, 100, -100, 2**31, 2**62, 2**63 - 1, -2**63, 2**63, 10**19, 10**30]
NO_INTEGERS = [b"", b" 1", b"1 ", b"+1", b"01", b"-0", b"1.5", b"0x10", b"ten", b"\x001", b"1e3"]
FLOATS = [b"0.1", b"-0.1", b"3.0", b"1e10", b"5.0e3", b"-1.5e-5", b"1e300", b"-1e300", b"inf", b"-inf", b"nan", b" 1", b"1 ",
          b"0x1p4", b"1e5000", b"-0", b"3.14159265358979", b"10000000000000000000000", b"0.00000000000000001", b"+2.5", b"abc",
          b"", b"1e-30", b"17179869184.125"]
VALUES = [b"", b"v", b"value", b"10", b"-7", b"3.5", b"a b", b"\r\n", b"\x00\xff\x80", b"9223372036854775807",
          b"-9223372036854775808", b" 12", b"x" * 1000, b"y" * 1024, b"z" * 5000, b"w" * 16384, b"big" * 40000]
PATTERNS = [b"*", b"a*", b"?", b"user:*", b"user:[0-9]", b"user:[^1]", b"[", b"[a-", b"\\a", b"a\\", b"*[", b"**a**", b"", b"[c-a]",
            b"x*x", b"[\\]]", b"k*\xff*", b"*:1?", b"[^a]", b"[]", b"[^]"]
OFFSETS = [0, 1, 2, 5, -1, -2, -5, 100, -100, 1000, 2**31, -2**31, 2**63 - 1, -2**63, 536870912]
FAR = 4_000_000_000  # Unix seconds, in the year 2096
WORDS = [b"NX", b"XX", b"GET", b"KEEPTTL", b"EX", b"PX", b"EXAT", b"PXAT", b"PERSIST", b"GT", b"LT", b"ch", b"nonsense", b"MATCH",
         b"COUNT", b"TYPE", b"REPLACE", b"DB"]


class Generator:
    def __init__(self, seed):
        self.rng = random.Random(seed)
        self.makers = [getattr(self, name) for name in dir(self) if name.startswith("make_")]

    # ---- words

    def pick(self, *choices):
        return self.rng.choice(choices)

    def key(self):
        return self.rng.choice(KEYS[:5] if self.rng.random() < 0.6 else KEYS)

    def value(self):
        return self.rng.choice(VALUES[:10] if self.rng.random() < 0.8 else VALUES)

    def integer(self):
        return self.rng.choice(INTEGERS[:7] if self.rng.random() < 0.6 else INTEGERS + NO_INTEGERS)

    def offset(self):
        return self.rng.choice(OFFSETS[:8] if self.rng.random() < 0.7 else OFFSETS + NO_INTEGERS)

    def time(self, unit):
        """A time in the unit, mostly so far away that both servers round it alike, sometimes past."""
        scale = 1000 if unit[:1].upper() == b"P" else 1
        absolute = unit[-2:].upper() == b"AT"
        if self.rng.random() < 0.25:
            # A key that SET makes for a time that is over goes when each server likes: see time_passes.
            past = [1] if unit[-8:].upper() == b"EXPIREAT" else []
            return self.rng.choice([0, -1, *past, 2**63 - 1, -2**63, 2**62, 9223372036854775, 9223372036854776] + NO_INTEGERS)
        # Equal ones are of interest, but from now on a millisecond decides which is later.
        return (FAR + self.rng.randrange(4) if absolute else 100_000 + self.rng.randrange(1_000_000)) * scale

    def expiry(self):
        unit = self.pick(b"EX", b"PX", b"EXAT", b"PXAT", b"ex", b"pxAT")
        return [unit, self.time(unit)]

    def some(self, make, most=4):
        return [word for _ in range(self.rng.randrange(1, most)) for word in make()]

    # ---- commands

    def make_set(self):
        words = [b"SET", self.key(), self.value()]
        for _ in range(self.rng.choice([0, 0, 1, 1, 2, 3])):
            words += self.rng.choice([lambda: [self.pick(b"NX", b"XX", b"nx")], lambda: [b"GET"], lambda: [b"KEEPTTL"], self.expiry,
                                      self.expiry, lambda: [self.rng.choice(WORDS)]])()
        return words

    def make_get(self):
        return [self.pick(b"GET", b"STRLEN", b"GETDEL", b"TYPE", b"PERSIST", b"EXPIRETIME", b"PEXPIRETIME", b"TTL", b"PTTL", b"get"),
                self.key()]

    def make_setters(self):
        name = self.pick(b"SETNX", b"GETSET", b"APPEND")
        return [name, self.key(), self.value()]

    def make_setex(self):
        return self.rng.choice([lambda: [b"SETEX", self.key(), self.time(b"EX"), self.value()],
                                lambda: [b"PSETEX", self.key(), self.time(b"PX"), self.value()]])()

    def make_getex(self):
        return [b"GETEX", self.key(), *self.rng.choice([list, self.expiry, self.expiry, lambda: [b"PERSIST"],
                                                         lambda: self.expiry() + [b"PERSIST"], lambda: [self.rng.choice(WORDS)]])()]

    def make_many(self):
        name = self.pick(b"DEL", b"UNLINK", b"EXISTS", b"TOUCH", b"MGET", b"MGET")
        return [name, *self.some(lambda: [self.key()], 6)]

    def make_mset(self):
        return [self.pick(b"MSET", b"MSETNX"), *self.some(lambda: [self.key(), self.value()]), *self.pick([], [], [], [b"odd"])]

    def make_counter(self):
        name = self.pick(b"INCR", b"DECR", b"INCRBY", b"DECRBY", b"incrby")
        return [name, self.pick(b"counter", b"counter", self.key())] + ([self.integer()] if name.upper().endswith(b"BY") else [])

    def make_float(self):
        return [b"INCRBYFLOAT", self.pick(b"float", b"float", self.key()), self.rng.choice(FLOATS)]

    def make_range(self):
        return self.rng.choice([lambda: [self.pick(b"GETRANGE", b"SUBSTR"), self.key(), self.offset(), self.offset()],
                                lambda: [b"SETRANGE", self.key(), self.offset(), self.value()],
                                # Just too long. One byte less would be 512 MB, and more than either server may have in some sequences.
                                lambda: [b"SETRANGE", self.key(), self.pick(b"536870911", b"536870910"), b"abc"]])()

    def make_expire(self):
        name = self.pick(b"EXPIRE", b"PEXPIRE", b"EXPIREAT", b"PEXPIREAT")
        return [name, self.key(), self.time(name), *self.rng.choices([b"NX", b"XX", b"GT", b"LT", b"lt", b"nonsense"],
                                                                     k=self.rng.choice([0, 0, 0, 1, 1, 2]))]

    def make_rename(self):
        return [self.pick(b"RENAME", b"RENAMENX"), self.key(), self.key()]

    def make_copy(self):
        return [b"COPY", self.key(), self.key(), *self.rng.choice([[], [], [b"REPLACE"], [b"DB", 0], [b"DB", b"x"], [b"DB", 7],
                                                                   [b"nonsense"], [b"DB"], [b"replace", b"DB", b"0"]])]

    def make_keys(self):
        return self.rng.choice([lambda: [b"KEYS", self.rng.choice(PATTERNS)], lambda: [b"DBSIZE"]])()

    def make_scan(self):
        words = [b"SCAN", self.pick(0, 0, 0, b"", b" 0", b"x", 2**64)]
        for _ in range(self.rng.choice([0, 1, 1, 2])):
            words += self.rng.choice([[b"MATCH", self.rng.choice(PATTERNS)], [b"COUNT", self.pick(1000, 2000, 0, -1, b"x", 10**19)],
                                      [b"TYPE", self.pick(b"string", b"STRING", b"list", b"nonsense")], [b"nonsense", 1], [b"MATCH"]])
        # All of the few keys in one go: where a walk pauses is each server's own affair.
        return words + [b"COUNT", 100_000]

    def make_talk(self):
        return self.rng.choice([[b"PING"], [b"PING", self.value()], [b"ECHO", self.value()], [b"SELECT", 0],
                                [b"SELECT", self.pick(1, -1, b"x", 2**40, b"")], [b"HELLO", self.pick(2, 3, 3)],
                                [b"HELLO", self.pick(1, 4, b"x")], [b"HELLO"], [b"HELLO", 3, b"SETNAME", self.key()],
                                [b"HELLO", 2, b"AUTH", b"default", b"x"], [b"HELLO", 2, b"AUTH", b"x", b"y"], [b"HELLO", 2, b"what"],
                                [b"AUTH", b"x"], [b"AUTH", b"default", b"x"], [b"AUTH", b"other", b"x"], [b"AUTH", b"a", b"b", b"c"],
                                [b"RESET"], [b"FLUSHALL", *self.rng.choice([[], [b"SYNC"], [b"ASYNC"], [b"x"], [b"SYNC", b"x"]])],
                                [b"FLUSHDB"]])

    def make_client(self):
        return [b"CLIENT", *self.rng.choice([[b"GETNAME"], [b"SETNAME", self.key()], [b"SETNAME", b"good-name"], [b"SETNAME", b""],
                                             [b"nonsense"], [b"ID", b"x"], [b"NO-EVICT", self.pick(b"on", b"off", b"x")],
                                             [b"LIST", self.pick(b"x", b"TYPE", b"ID")], [b"LIST", b"TYPE", self.pick(b"x", b"pubsub")],
                                             [b"LIST", b"ID", self.pick(b"x", b"0", b"999999")], [b"REPLY", b"x"], [b"REPLY"],
                                             [b"KILL", b"1.2.3.4:5"], [b"KILL", b"ID", self.pick(b"0", b"x", b"99999999")],
                                             [b"KILL", b"TYPE", b"x"], [b"KILL", b"USER", b"x"], [b"KILL", b"SKIPME", b"x"],
                                             [b"KILL", b"ADDR", b"1.2.3.4:5", b"LADDR", b"x"], [b"KILL", b"ID"], [b"KILL", b"x", b"y"]])]

    def make_config(self):
        return [b"CONFIG", *self.rng.choice([[b"GET", b"maxmemory"], [b"GET", b"maxmemory-policy", b"timeout"], [b"GET", b"nonsense"],
                                             [b"GET", b"MAXMEMORY-SAMPLES"], [b"GET", b"save"], [b"GET", b"appendonly"], [b"GET"],
                                             [b"SET", b"maxmemory", self.pick(b"0", b"100mb", b"1g", b"x", b"-1", b"200000k", b"", b"gb", b"300mb\x002", b"300MB", b"1 gb", b"-mb")],
                                             [b"SET", b"maxmemory-policy", self.pick(b"noeviction", b"allkeys-lru")],
                                             [b"SET", b"maxmemory-samples", self.pick(b"5", b"10", b"0", b"x", b"-1")],
                                             [b"SET", b"timeout", self.pick(b"0", b"1000", b"-1", b"x")], [b"SET", b"nonsense", b"1"],
                                             [b"SET", b"timeout"], [b"SET", b"timeout", b"0", b"timeout", b"1"], [b"RESETSTAT"],
                                             [b"SET", b"timeout", b"0", b"maxmemory", b"0"], [b"nonsense"], [b"REWRITE"],
                                             [b"SET", b"timeout", b"500", b"maxmemory", b"x"], [b"RESETSTAT", b"x"]])]

    def make_unknown(self):
        return [self.pick(b"nonsense", b"gets", b"", b"a" * 200, b"x\x00y", b"un\r\nknown"), *self.some(lambda: [self.value()])]

    def command(self):
        words = self.rng.choice(self.makers)()
        words = [word if isinstance(word, bytes) else str(word).encode() for word in words]
        # One too few, or one too many; never another in its place, which could be a setting that only one server has.
        mistake = self.rng.random()
        if mistake < 0.03:
            words = words[:-1] or words
        elif mistake < 0.06:
            words.append(self.value())
        return words

    def sequence(self):
        return [self.command() for _ in range(self.rng.randrange(5, 40))]
