#!/usr/bin/env python3
"""Puts an 802.1Q tag (priority 5, id 18) into the first four frames of a capture: tag.py FROM TO."""

import struct
import sys

TAG = struct.pack("!HH", 0x8100, 5 << 13 | 18)
FILE_HEADER, FRAME_HEADER = 24, struct.Struct("<IIII")

data = open(sys.argv[1], "rb").read()
out, at = data[:FILE_HEADER], FILE_HEADER
for _ in range(4):
    seconds, fraction, captured, length = FRAME_HEADER.unpack_from(data, at)
    at += FRAME_HEADER.size
    frame = data[at : at + captured]
    at += captured
    out += FRAME_HEADER.pack(seconds, fraction, captured + 4, length + 4) + frame[:12] + TAG + frame[12:]
open(sys.argv[2], "wb").write(out)
