# sign.sh: signatures with a 4096-bit RSA key, and their verification.

for i in 1 2 3 4; do
    echo "message $i" > /tmp/message
    openssl dgst -sha256 -sign /data/rsa.pem -out /tmp/signature /tmp/message
    openssl dgst -sha256 -prverify /data/rsa.pem -signature /tmp/signature /tmp/message
    openssl dgst -md5 /tmp/signature
done
