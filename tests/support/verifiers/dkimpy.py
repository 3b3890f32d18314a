"""Verifies messages with dkimpy: one JSON answer a line, for each framed message on standard input.

Usage: dkimpy.py PORT, the port on 127.0.0.1 of the name server to ask. A frame is a 32-bit length and that many bytes.
"""
import json
import struct
import sys

import dkim
import dns.flags
import dns.message
import dns.query
import dns.rdatatype

PORT = int(sys.argv[1])


def txt(name, timeout=5):
    question = dns.message.make_query(name.decode(), "TXT", use_edns=True, payload=1232)
    answer, _ = dns.query.udp_with_fallback(question, "127.0.0.1", timeout=timeout, port=PORT)
    for rrset in answer.answer:
        if rrset.rdtype == dns.rdatatype.TXT:
            return b"".join(rrset[0].strings)
    return None


def tags(field):
    pairs = (tag.partition(b"=") for tag in field.split(b";"))
    return {name.strip().decode(): b"".join(value.split()).decode() for name, _, value in pairs}


def verify(message):
    verifier = dkim.DKIM(message)
    fields = [value for name, value in verifier.headers if name.lower() == b"dkim-signature"]
    answers = []
    for index, field in enumerate(fields):
        tag = tags(field)
        error = ""
        try:
            passed = dkim.DKIM(message).verify(idx=index, dnsfunc=txt)
        except Exception as problem:
            passed, error = False, "%s: %s" % (type(problem).__name__, problem)
        answers.append(
            {
                "domain": tag.get("d", ""),
                "selector": tag.get("s", ""),
                "algorithm": tag.get("a", ""),
                "passed": bool(passed),
                "detail": error,
            }
        )
    return answers


while True:
    head = sys.stdin.buffer.read(4)
    if len(head) < 4:
        break
    (length,) = struct.unpack(">I", head)
    print(json.dumps(verify(sys.stdin.buffer.read(length))), flush=True)
