#!/usr/bin/env bash
# Makes the time stamps of this folder anew, with openssl as the authority: `make.sh [FOLDER]`. The tests read what is committed;
# the test that needs openssl runs this into a folder of its own. `QUERY` names a query of ours to answer, `FILE` what it is about.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
to=${1:-$here}
file=${FILE:-$here/file}
cd "$to"

# Keys are thrown away: nobody can stamp with these authorities again.
keys=$(mktemp -d)
trap 'rm -rf "$keys"' EXIT

config() {
  cat > "$keys/config" <<END
[req]
distinguished_name = name
prompt = no
[name]
CN = unused
[root]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[issuing]
basicConstraints = critical, CA:TRUE, pathlen:0
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[tsa]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = critical, timeStamping
subjectKeyIdentifier = hash
[careless]
extendedKeyUsage = timeStamping
[server]
extendedKeyUsage = critical, timeStamping, serverAuth
[stamp]
serial = $keys/serial
crypto_device = builtin
signer_digest = $1
default_policy = 1.2.3.4.1
digests = sha256
accuracy = secs:1, millisecs:500
ordering = no
tsa_name = no
ess_cert_id_chain = no
ess_cert_id_alg = $2
END
}

# certificate NAME SECTION ISSUER DAYS [OPTIONS…]
certificate() {
  local name=$1 section=$2 issuer=$3 days=$4
  shift 4
  openssl req -new -key "$keys/$name.key" -subj "/O=PoX tests/CN=$name" -config "$keys/config" -out "$keys/$name.csr"
  local by=(-CA "$keys/$issuer.pem" -CAkey "$keys/$issuer.key" -CAcreateserial)
  [ "$issuer" = self ] && by=(-signkey "$keys/$name.key")
  openssl x509 -req -in "$keys/$name.csr" -days "$days" -extfile "$keys/config" -extensions "$section" \
    "${by[@]}" "$@" -out "$keys/$name.pem" 2> /dev/null
}

# stamp NAME SIGNER DIGEST ESS [CHAIN…]
stamp() {
  local name=$1 signer=$2
  config "$3" "$4"
  shift 4
  openssl ts -reply -queryfile "$keys/query" -config "$keys/config" -section stamp -signer "$keys/$signer.pem" \
    -inkey "$keys/$signer.key" "$@" -out "$name.tsr" 2> /dev/null
}

config sha256 sha256
for name in root issuing-rsa tsa-rsa careless server expired; do
  openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out "$keys/$name.key" 2> /dev/null
done
openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-384 -out "$keys/issuing-ec.key"
openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$keys/tsa-p256.key"
openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-384 -out "$keys/tsa-p384.key"
certificate root root self 36500 -sha512
certificate issuing-rsa issuing root 36500 -sha256
certificate issuing-ec issuing root 36500 -sha384 -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:48
certificate tsa-rsa tsa issuing-rsa 36500 -sha256
certificate tsa-p256 tsa issuing-ec 36500 -sha384
certificate tsa-p384 tsa issuing-ec 36500 -sha256
certificate careless careless root 36500
certificate server server root 36500
certificate expired tsa root 1

if [ -n "${QUERY:-}" ]; then
  cp "$QUERY" "$keys/query"
else
  openssl ts -query -data "$file" -sha256 -cert -out "$keys/query" 2> /dev/null
fi
cat "$keys/issuing-rsa.pem" > "$keys/chain-rsa.pem"
cat "$keys/issuing-ec.pem" > "$keys/chain-ec.pem"
stamp rsa tsa-rsa sha256 sha256 -chain "$keys/chain-rsa.pem"
stamp rsa-older tsa-rsa sha512 sha1 -chain "$keys/chain-rsa.pem"
stamp p256 tsa-p256 sha256 sha384 -chain "$keys/chain-ec.pem"
stamp p384 tsa-p384 sha384 sha256 -chain "$keys/chain-ec.pem"
stamp expired expired sha256 sha256
# What `openssl ts` does not sign with: PSS, and certificates whose purpose is not critical or not the only one.
openssl ts -reply -in rsa.tsr -token_out -out "$keys/token" 2> /dev/null
openssl cms -verify -noverify -inform DER -in "$keys/token" -out "$keys/statement" 2> /dev/null
# sign NAME SIGNER [OPTIONS…]
sign() {
  local name=$1 signer=$2
  shift 2
  openssl cms -sign -binary -nodetach -econtent_type 1.2.840.113549.1.9.16.1.4 -cades -md sha256 -outform DER \
    -signer "$keys/$signer.pem" -inkey "$keys/$signer.key" "$@" -in "$keys/statement" -out "$name.tsr"
}
sign pss tsa-rsa -certfile "$keys/issuing-rsa.pem" -keyopt rsa_padding_mode:pss -keyopt rsa_pss_saltlen:32
sign by-key tsa-rsa -certfile "$keys/issuing-rsa.pem" -keyid
sign careless careless
sign server server
cp "$keys/root.pem" root.pem
cp "$keys/issuing-rsa.pem" issuing-rsa.pem
