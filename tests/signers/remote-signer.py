"""A signer of somebody's own, for tests: speaks Keyturn's protocol on standard input and output, keeps keys in a folder, signs with dkimpy.

Arguments: the folder. What the folder holds beside keys steers it: "pending", "fail" and "slow" are files that tests put there.
"""
import base64
import json
import os
import sys
import time

import dkim

folder = sys.argv[1]
request = json.load(sys.stdin)
action = request["action"]
assert request["protocol"] == "keyturn-signer/1" and request["id"] and request["signer"]


def path_of(domain):
    return os.path.join(folder, domain + ".json")


def load(domain):
    try:
        with open(path_of(domain)) as file:
            return json.load(file)
    except FileNotFoundError:
        return None


def save(keyring):
    draft = path_of(keyring["domain"]) + ".new"
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(keyring, file)
    os.replace(draft, path_of(keyring["domain"]))


def there(name):
    return os.path.exists(os.path.join(folder, name))


def selectors(keyring):
    return sorted(key["selector"] for keys in keyring["streams"].values() for key in keys)


def deliver():
    keyring = request["keyring"]
    if there("pending"):
        return {"result": "pending", "message": "It is being loaded."}
    known = load(keyring["domain"])
    if known is not None and known.get("by") == "hand" and not keyring["overwrite"]:
        return {"result": "drifted", "message": "Somebody put a key there."}
    if known is None or known["generation"] <= keyring["generation"]:
        save(keyring)
        known = keyring
    return {"result": "acknowledged", "generation": known["generation"]}


def forget():
    if os.path.exists(path_of(request["domain"])):
        os.remove(path_of(request["domain"]))
    return {"result": "forgotten"}


def self_test():
    keyring = load(request["domain"])
    keys = keyring["streams"][request["stream"]] if keyring else []
    for key in keys:
        if key["selector"] != request["selector"]:
            continue
        secret = key["privateKey"].encode()
        if key["algorithm"] == "ed25519-sha256":
            # dkimpy takes the bare seed: the last 32 octets of PKCS#8.
            body = "".join(key["privateKey"].strip().splitlines()[1:-1])
            secret = base64.b64encode(base64.b64decode(body)[-32:])
        message = base64.b64decode(request["message"])
        signature = dkim.sign(
            message,
            key["selector"].encode(),
            request["domain"].encode(),
            secret,
            signature_algorithm=key["algorithm"].encode(),
        )
        return {"result": "signed", "message": base64.b64encode(signature + message).decode()}
    return {"result": "failed", "message": "There is no such key."}


def inspect():
    keyring = load(request["keyring"]["domain"])
    if keyring is None:
        return {"result": "lost", "message": "There is nothing."}
    if selectors(keyring) != selectors(request["keyring"]):
        return {"result": "changed", "message": "It signs with other keys."}
    return {"result": "as-delivered"}


def found():
    keyring = load(request["domain"])
    keys = [key for keys in keyring["streams"].values() for key in keys] if keyring else []
    return {
        "result": "found",
        "keys": [{"selector": key["selector"], "privateKey": key["privateKey"], "inUse": True} for key in keys],
    }


if there("slow"):
    time.sleep(30)
if there("fail"):
    # A careless program: it writes what it was given.
    sys.stderr.write(json.dumps(request))
    sys.exit(3)
with open(os.path.join(folder, "seen"), "a") as seen:
    seen.write(json.dumps({"argv": sys.argv, "env": dict(os.environ), "action": action}) + "\n")
handlers = {"deliver": deliver, "forget": forget, "self-test": self_test, "inspect": inspect, "found": found}
json.dump(handlers[action](), sys.stdout)
