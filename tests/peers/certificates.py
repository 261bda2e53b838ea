"""An authority of the tests, and certificates by it; each `.pem` holds its key as well."""

import subprocess

CONFIGURATION = """
[req]
distinguished_name = name
[name]
[authority]
basicConstraints = critical, CA:true
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[end]
basicConstraints = critical, CA:false
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
subjectAltName = $ENV::SUBJECT
"""

# Whom each certificate is for.
SUBJECTS = {"server": "DNS:localhost", "other": "DNS:other.example", "client": "DNS:a.client"}


def make(folder, openssl):
    """Fills `folder` and returns the path of the authority's certificate."""
    folder.mkdir()
    (folder / "openssl.cnf").write_text(CONFIGURATION)

    def sign(name, *options, subject="DNS:localhost"):
        key, certificate = folder / f"{name}.key", folder / f"{name}.crt"
        command = [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
        command += ["-nodes", "-keyout", key, "-out", certificate, "-subj", f"/CN=test {name}", *options]
        environment = {"OPENSSL_CONF": str(folder / "openssl.cnf"), "SUBJECT": subject}
        subprocess.run(command, env=environment, check=True, capture_output=True)
        (folder / f"{name}.pem").write_text(certificate.read_text() + key.read_text())
        return certificate

    ca = sign("ca", "-extensions", "authority")
    by_ca = ["-extensions", "end", "-CA", ca, "-CAkey", folder / "ca.key"]
    for name, subject in SUBJECTS.items():
        sign(name, *by_ca, subject=subject)
    sign("stranger", "-extensions", "authority")
    return ca
