"""An MCP server (streamable HTTP, no sessions) with one tool, whoami. It verifies every token by itself: signature, issuer,
audience, and expiry without any tolerance. GET /counts says how many requests it accepted, and how many it refused and why."""

import argparse
import base64
import hashlib
import json
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PROTOCOLS = ["2025-11-25", "2025-06-18", "2025-03-26"]
LONGEST_REQUEST = 1 << 20
# PKCS #1 v1.5 with SHA-256 (RFC 8017 section 9.2): what stands before the digest.
DIGEST_INFO = bytes.fromhex("3031300d060960864801650304020105000420")
TOOL = {
    "name": "whoami",
    "description": "Whose token reached this server, and how long it still lives",
    "inputSchema": {"type": "object", "properties": {}},
}


class Refused(Exception):
    """Why a token is not accepted; `kind` is its name in the counts."""

    def __init__(self, kind, why):
        super().__init__(why)
        self.kind = kind


def decoded(part):
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


class Verifier:
    def __init__(self, issuer, audience, keys):
        self.issuer, self.audience, self.url = issuer, audience, keys
        self.keys, self.lock = {}, threading.Lock()

    def key(self, kid):
        with self.lock:
            if kid not in self.keys:
                with urllib.request.urlopen(self.url, timeout=5) as answer:
                    self.keys = {key["kid"]: key for key in json.load(answer)["keys"]}
            return self.keys.get(kid)

    def claims(self, authorization):
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer":
            raise Refused("missing", "no bearer token")
        try:
            signed, _, signature = token.rpartition(".")
            header, claims = (json.loads(decoded(part)) for part in signed.split("."))
            key = self.key(header["kid"])
            modulus, exponent = (int.from_bytes(decoded(key[name]), "big") for name in ("n", "e"))
            signature = decoded(signature)
        except Exception as error:
            raise Refused("invalid", "not a token of the issuer") from error
        length = (modulus.bit_length() + 7) // 8
        tail = b"\x00" + DIGEST_INFO + hashlib.sha256(signed.encode()).digest()
        expected = b"\x00\x01" + b"\xff" * (length - 2 - len(tail)) + tail
        opened = pow(int.from_bytes(signature, "big"), exponent, modulus).to_bytes(length, "big")
        audience = claims.get("aud")
        audiences = audience if isinstance(audience, list) else [audience]
        if header.get("alg") != "RS256" or opened != expected:
            raise Refused("invalid", "the signature is not the issuer's")
        if claims.get("iss") != self.issuer or self.audience not in audiences:
            raise Refused("invalid", "another issuer or audience")
        if claims.get("exp", 0) <= time.time():
            raise Refused("expired", "the token has expired")
        return claims


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    verifier, counts, lock = None, {}, threading.Lock()

    def answer(self, status, body=None, headers=()):
        content = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def count(self, kind):
        with self.lock:
            self.counts[kind] += 1

    def do_GET(self):
        if self.path == "/counts":
            return self.answer(200, self.counts)
        return self.answer(405, headers=[("allow", "POST")])

    def do_POST(self):
        length = int(self.headers.get("content-length") or 0)
        if length > LONGEST_REQUEST:
            self.close_connection = True
            return self.answer(413)
        body = self.rfile.read(length)
        try:
            claims = self.verifier.claims(self.headers.get("authorization"))
        except Refused as refused:
            self.count(refused.kind)
            challenge = ("www-authenticate", 'Bearer error="invalid_token"')
            return self.answer(401, {"error": str(refused)}, [challenge])
        self.count("accepted")
        try:
            message = json.loads(body)
            method, call = message["method"], message.get("id")
        except (ValueError, TypeError, KeyError):
            return self.answer(400, {"error": "not a JSON-RPC message"})
        if call is None:
            return self.answer(202)
        known, result = self.result(method, message.get("params") or {}, claims)
        outcome = {"result": result} if known else {"error": {"code": -32601, "message": "unknown method"}}
        return self.answer(200, {"jsonrpc": "2.0", "id": call, **outcome})

    def result(self, method, params, claims):
        if method == "initialize":
            wanted = params.get("protocolVersion")
            return True, {
                "protocolVersion": wanted if wanted in PROTOCOLS else PROTOCOLS[0],
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "tokenward-quickstart", "version": "1"},
            }
        if method == "ping":
            return True, {}
        if method == "tools/list":
            return True, {"tools": [TOOL]}
        if method == "tools/call" and params.get("name") == TOOL["name"]:
            lives = int(claims["exp"] - time.time())
            who = claims.get("email") or claims.get("sub")
            text = f"{who}: the token that reached this server lives {lives} more seconds"
            return True, {"content": [{"type": "text", "text": text}]}
        return False, None

    def log_message(self, *_):
        pass


def main():
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("--address", default="0.0.0.0")
    flags.add_argument("--port", type=int, default=9000)
    for name in ("issuer", "keys", "audience"):
        flags.add_argument(f"--{name}", required=True)
    given = flags.parse_args()
    Handler.verifier = Verifier(given.issuer, given.audience, given.keys)
    Handler.counts = {"accepted": 0, "expired": 0, "invalid": 0, "missing": 0}
    server = ThreadingHTTPServer((given.address, given.port), Handler)
    print(json.dumps({"port": server.server_address[1]}), flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
