#!/bin/sh
# Makes the certificates of the TLS tests anew: sh make.sh. Needs the program openssl. The private
# keys are public, so nobody may ever trust this CA.
set -eu
cd "$(dirname "$0")"
century=36500

certificate() { # name, days, extensions, how to sign, how to make the key
    name=$1 days=$2 extensions=$3 signer=$4
    shift 4
    openssl genpkey "$@" -out "$name.key"
    openssl req -new -key "$name.key" -subj "/O=vtwasm tests/CN=$name" -out "$name.csr"
    printf '%s\n' "$extensions" > extensions
    # shellcheck disable=SC2086
    openssl x509 -req -in "$name.csr" -days "$days" -extfile extensions $signer -out "$name.crt"
    cat "$name.crt" "$name.key" > "$name.pem"
}
leaf() { # name, days, alternative names, how to make the key
    name=$1 days=$2 names=$3
    shift 3
    certificate "$name" "$days" "$(printf 'basicConstraints=critical,CA:FALSE\nsubjectAltName=%s' "$names")" \
        "-CA ca.crt -CAkey ca.key" "$@"
}
p256='-algorithm EC -pkeyopt ec_paramgen_curve:P-256'

certificate ca $century 'basicConstraints=critical,CA:TRUE
keyUsage=critical,keyCertSign,cRLSign' '-signkey ca.key' $p256
leaf server $century DNS:localhost,IP:127.0.0.1 $p256
leaf server-rsa $century DNS:rsa.example -algorithm RSA -pkeyopt rsa_keygen_bits:2048
leaf client $century DNS:client.example -algorithm EC -pkeyopt ec_paramgen_curve:P-384
# Over as soon as it is made.
leaf expired 0 DNS:localhost $p256
certificate stranger $century 'basicConstraints=critical,CA:FALSE
subjectAltName=DNS:localhost' '-signkey stranger.key' $p256
mv ca.crt ca.pem
rm -f -- *.key *.crt *.csr *.srl extensions
