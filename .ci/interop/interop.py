"""Has PyJWT, cryptography and openssl, and jwksctl, judge each other's tokens.

    python3 interop.py JWKSCTL DIR ALGORITHM...

The arguments and the output are those of interop.mjs.
"""

import json
import subprocess
import sys
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import get_default_algorithms
from jwt.utils import base64url_decode, base64url_encode

BINARY, DIR = sys.argv[1], Path(sys.argv[2])
AUDIENCE = "interop"
CURVES = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1()}


class Failure(Exception):
    """What a check found."""


def expect(condition, message):
    if not condition:
        raise Failure(message)


def refuses(verify, token, error):
    """Expects verify to raise exactly this error, and not a neighbour of it."""
    try:
        verify(token)
    except jwt.PyJWTError as err:
        expect(type(err) is error, f"refused by {err!r}, want {error.__name__}")
    else:
        raise Failure("accepted a token that must be refused")


def check(library, alg, name, run, *args):
    row = ["ok", library, alg, name]
    try:
        run(*args)
    except (Failure, jwt.PyJWTError, subprocess.SubprocessError) as err:
        row = ["FAIL", *row[1:], " ".join(repr(err).split())]
    print(*row, sep="\t", flush=True)


def run(*args):
    return subprocess.run(args, stdin=subprocess.DEVNULL, capture_output=True, timeout=30, encoding="utf-8")


def output(*args):
    done = run(BINARY, *args)
    expect(done.returncode == 0, done.stderr)
    return done.stdout.strip()


def fetch(url, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as response:
        return json.load(response)


def claims_of(token):
    return json.loads(base64url_decode(token.split(".")[1]))


def alter(token):
    """Gives the token another subject and leaves the signature."""
    header, _, signature = token.split(".")
    payload = json.dumps({**claims_of(token), "sub": "mallory"}).encode()
    return ".".join([header, base64url_encode(payload).decode(), signature])


class Ours:
    """A running server and its store, judged by PyJWT."""

    def __init__(self, alg):
        self.alg = alg
        self.base = (DIR / alg / "url").read_text().strip()
        self.store = f"sqlite:{DIR / alg / 'keys.db'}"
        self.metadata = fetch(f"{self.base}/.well-known/openid-configuration")
        self.client = jwt.PyJWKClient(self.metadata["jwks_uri"])
        self.token = self.auth()

    def auth(self, query=""):
        return fetch(f"{self.base}/auth{query}", {"sub": "alice", "aud": AUDIENCE})["token"]

    def offline(self, *flags):
        return output("token", "--store", self.store, "--sub", "alice", "--aud", AUDIENCE, *flags)

    def verify(self, token):
        key = self.client.get_signing_key_from_jwt(token).key
        claims = jwt.decode(
            token, key, algorithms=[self.alg], audience=AUDIENCE, issuer=self.metadata["issuer"],
            options={"require": ["exp", "iat", "jti"]},
        )
        expect(claims["sub"] == "alice", "the subject is another one")

    def check_discovery(self):
        expect(self.metadata["issuer"] == self.base, "the issuer is not the base URL")
        expect(self.metadata["issuer"] == claims_of(self.token)["iss"], "the issuer is not the token's iss")

    def check_expired(self):
        keys = jwt.PyJWKSet.from_dict(fetch(self.metadata["jwks_uri"])).keys
        for token in self.auth("?expired=true"), self.offline("--expired"):
            kid = jwt.get_unverified_header(token)["kid"]
            expect(kid not in [key.key_id for key in keys], "the kid is in the JWK Set")
            expect(claims_of(token)["exp"] < time.time(), "exp is not in the past")
            refuses(self.verify, token, jwt.PyJWKClientError)
            for key in keys:
                options = {"verify_exp": False, "verify_aud": False}
                refuses(
                    lambda token: jwt.decode(token, key.key, algorithms=[self.alg], options=options),
                    token, jwt.InvalidSignatureError,
                )

    def check_openssl(self):
        """openssl itself checks an RS256 signature, by a PEM of our JWK."""
        key = self.client.get_signing_key_from_jwt(self.token).key
        pem, signature, signed = (DIR / name for name in ("key.pem", "signature", "signed"))
        pem.write_bytes(
            key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        )
        for token, want in (self.token, "Verified OK"), (alter(self.token), "Verification failure"):
            head, _, tail = token.rpartition(".")
            signed.write_text(head)
            signature.write_bytes(base64url_decode(tail))
            done = run("openssl", "dgst", "-sha256", "-verify", str(pem), "-signature", str(signature), str(signed))
            expect(want in done.stdout, f"openssl says {done.stdout} {done.stderr}")

    def check(self):
        check("pyjwt", self.alg, "discovery", self.check_discovery)
        check("pyjwt", self.alg, "auth", self.verify, self.token)
        check("pyjwt", self.alg, "offline", lambda: self.verify(self.offline()))
        check("pyjwt", self.alg, "altered", refuses, self.verify, alter(self.token), jwt.InvalidSignatureError)
        check("pyjwt", self.alg, "expired", self.check_expired)
        if self.alg == "RS256":
            check("openssl", self.alg, "auth", self.check_openssl)


def new_private_key(alg):
    if alg in CURVES:
        return ec.generate_private_key(CURVES[alg])
    if alg == "EdDSA":
        return ed25519.Ed25519PrivateKey.generate()
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def public_jwk(alg, key):
    """What PyJWT makes of a public key, with coordinates of full length: PyJWT before
    2.10 drops their leading zeros, which RFC 7518 section 6.2.1.2 forbids."""
    jwk = json.loads(get_default_algorithms()[alg].to_jwk(key))
    if alg in CURVES:
        size = (key.curve.key_size + 7) // 8
        for name in "x", "y":
            jwk[name] = base64url_encode(base64url_decode(jwk[name]).rjust(size, b"\0")).decode()
    return jwk


class Theirs:
    """A key of PyJWT's, whose tokens jwksctl judges."""

    def __init__(self, alg):
        self.alg, self.kid, self.private = alg, f"pyjwt {alg}", new_private_key(alg)
        self.jwk = {**public_jwk(alg, self.private.public_key()), "kid": self.kid, "use": "sig", "alg": alg}
        self.file = DIR / f"pyjwt-{alg}.json"
        self.file.write_text(json.dumps({"keys": [self.jwk]}))
        now = int(time.time())
        self.claims = {
            "iss": "https://pyjwt.example", "sub": "alice", "aud": [AUDIENCE, "other"],
            "iat": now, "exp": now + 300, "roles": ["ä", 1, None],
        }

    def sign(self, **changes):
        return jwt.encode({**self.claims, **changes}, self.private, self.alg, {"kid": self.kid})

    def verify(self, jwks, token):
        return run(BINARY, "verify", "--jwks", str(jwks), "--iss", self.claims["iss"], "--aud", AUDIENCE, token)

    def check_accepted(self, jwks):
        done = self.verify(jwks, self.sign())
        expect(done.returncode == 0, done.stderr)
        expect(json.loads(done.stdout) == self.claims, f"other claims: {done.stdout}")

    def check_refused(self, token, code):
        done = self.verify(self.file, token)
        expect((done.returncode, done.stdout) == (code, ""), f"exit code {done.returncode}, want {code}")

    def check(self, url):
        past = self.claims["iat"] - 300
        check("pyjwt", self.alg, "by-file", self.check_accepted, self.file)
        check("pyjwt", self.alg, "by-url", self.check_accepted, url)
        check("pyjwt", self.alg, "forged", self.check_refused, alter(self.sign()), 1)
        check("pyjwt", self.alg, "past-exp", self.check_refused, self.sign(iat=past - 300, exp=past), 14)


def serve(keys):
    """Serves the JWK Set of all keys from a thread and returns its URL."""
    body = json.dumps({"keys": [key.jwk for key in keys]}).encode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}/jwks"


def main():
    algorithms = sys.argv[3:]
    for alg in algorithms:
        Ours(alg).check()
    theirs = [Theirs(alg) for alg in algorithms]
    url = serve(theirs)
    for key in theirs:
        key.check(url)


main()
