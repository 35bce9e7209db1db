#!/bin/sh
# SPDX-License-Identifier: MIT
#
#   all.sh SOURCE FOLDER [address]
#
# Builds the modules for Debian's own Python into FOLDER and runs their tests: without the extension,
# with it, and with one that takes its way for large maps always (of which a map of the tests has
# too few channels). `address`: with the extension under AddressSanitizer and UBSan.
set -eu
source=$1 folder=$2 sanitizer=${3:-}
cd "$source"
unset PYTHONPATH ASYNCORE_PURE

if [ "$sanitizer" = address ]; then
    # Python itself is not built for leaks to be told of; UBSan's report ends the process.
    CFLAGS='-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer -O1'
    export CFLAGS
fi
FIRST=1 scripts/pythons "$folder"
read -r tag interpreter <"$folder/pythons.txt"
mkdir -p "$folder/large"
cp "$folder/pythons.txt" "$folder/large/"
"$interpreter" python/backend.py "$folder/large/$tag" -DPYAC_FEW=0
if [ "$sanitizer" = address ]; then
    unset CFLAGS
    LD_PRELOAD=$(gcc -print-file-name=libasan.so):$(gcc -print-file-name=libubsan.so)
    ASAN_OPTIONS=detect_leaks=0:verify_asan_link_order=0
    PYTHONMALLOC=malloc
    export LD_PRELOAD ASAN_OPTIONS PYTHONMALLOC
else
    "$interpreter" python/tests/run.py --build "$folder" --pure
fi
"$interpreter" python/tests/run.py --build "$folder" --extension
"$interpreter" python/tests/run.py --build "$folder/large" --extension
