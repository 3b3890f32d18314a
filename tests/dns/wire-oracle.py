"""Reads messages with dnspython, one JSON object a line, and tells what it understood."""
import base64
import json
import sys

import dns.flags
import dns.message
import dns.name
import dns.rdataclass
import dns.rdatatype
import dns.tsig
import dns.tsigkeyring


def name(value):
    return value.to_text(omit_final_dot=True)


def records(section):
    for rrset in section:
        rdclass = dns.rdataclass.to_text(rrset.deleting if rrset.deleting else rrset.rdclass)
        head = [name(rrset.name), rrset.ttl, rdclass, dns.rdatatype.to_text(rrset.rdtype)]
        if len(rrset) == 0:
            yield head + [None]
        for rdata in rrset:
            yield head + [rdata.to_text()]


def understood(message):
    return {
        "id": message.id,
        "questions": [[name(q.name), dns.rdatatype.to_text(q.rdtype)] for q in message.sections[0]],
        "sections": [list(records(message.sections[i])) for i in (1, 2, 3)],
        "edns": message.edns,
        "payload": message.payload,
        "options": [[int(o.otype), o.to_wire().hex()] for o in message.options],
        "rcode": int(message.rcode()),
        "flags": dns.flags.to_text(message.flags),
        "tsig": bool(message.had_tsig),
    }


def answer(request):
    keyring = None
    if "key" in request:
        key = request["key"]
        secret = base64.b64decode(key["secret"])
        keyring = {dns.name.from_text(key["name"]): dns.tsig.Key(key["name"], secret, key["algorithm"])}
    options = {"keyring": keyring, "one_rr_per_rrset": True}
    if "requestMac" in request:
        options["request_mac"] = bytes.fromhex(request["requestMac"])
    message = dns.message.from_wire(bytes.fromhex(request["wire"]), **options)
    result = understood(message)
    if "sign" in request:
        message.use_tsig(keyring, list(keyring)[0], fudge=request["sign"]["fudge"])
        message.request_mac = bytes.fromhex(request["sign"].get("requestMac", ""))
    result["wire"] = message.to_wire(max_size=65535).hex()
    result["mac"] = message.mac.hex() if message.mac else ""
    return result


for line in sys.stdin:
    try:
        reply = answer(json.loads(line))
    except Exception as error:  # whatever it makes of a message is the answer
        reply = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(reply), flush=True)
