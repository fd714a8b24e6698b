# search.sh: find and grep through a tree of files.

cd /data/tree
/usr/bin/find . -name '*.c' -newer /data/text -o -size +2k -type f | /usr/bin/sort | /usr/bin/tail -n 5
/usr/bin/find . -type f -exec /bin/grep -cE '(load|store) 0x[0-9a-f]*[13579] ' {} + | /usr/bin/sort | /usr/bin/tail -n 5
/bin/grep -rinw 'register' . | /usr/bin/wc -l
for word in memory page clear; do
    /usr/bin/find . -name '*[02468].c' -print0 | /usr/bin/xargs -0 /bin/grep -l "^$word" | /usr/bin/sort |
        /usr/bin/head -n 2
done
