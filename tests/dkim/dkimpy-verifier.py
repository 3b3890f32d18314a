"""Verifies DKIM signatures with dkimpy, one message after another.

First a line of JSON on stdin: {"name.": "TXT text", ...}. Then frames: 4 octets of length, big-endian, and the message.
For each frame one line of JSON on stdout: the verdict of each signature, top to bottom: "pass", "fail" or an error.
"""
import json
import struct
import sys

import dkim

records = json.loads(sys.stdin.buffer.readline())


def lookup(name, timeout=5):
    text = records.get(name.decode("ascii"))
    return None if text is None else text.encode("latin1")


def verdict(message, index):
    try:
        return "pass" if dkim.DKIM(message).verify(idx=index, dnsfunc=lookup) else "fail"
    except Exception as problem:
        return type(problem).__name__ + ": " + str(problem)


while True:
    start = sys.stdin.buffer.read(4)
    if len(start) < 4:
        break
    message = sys.stdin.buffer.read(struct.unpack(">I", start)[0])
    try:
        names = [name.lower() for name, _ in dkim.rfc822_parse(message)[0]]
        verdicts = [verdict(message, index) for index in range(names.count(b"dkim-signature"))]
    except Exception as problem:
        verdicts = [type(problem).__name__ + ": " + str(problem)]
    print(json.dumps(verdicts), flush=True)
