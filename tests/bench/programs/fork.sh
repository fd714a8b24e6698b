# fork.sh: a shell that starts a program or a copy of itself at every turn.

i=0
while [ $i -lt 40 ]; do
    name=$(/usr/bin/basename "/data/tree/file$i.c" .c)
    size=$(echo "$name" | /usr/bin/cut -c 2-)
    /bin/true && (exit 0) && echo "$name $size" >> /tmp/fork.list
    i=$((i + 1))
done
/usr/bin/tail -n 3 /tmp/fork.list
rm -f /tmp/fork.list
