# loop.sh: a shell that stays within itself: arithmetic, strings, functions, loops.

digits() { number=$1 sum=0
    while [ "$number" -gt 0 ]; do
        sum=$((sum + number % 10)) number=$((number / 10))
    done
}

i=0 total=0 words=
while [ $i -lt 9000 ]; do
    digits $((i * 7919))
    total=$((total + sum))
    case $sum in
    *7) words=${words#???} words="$words$sum-" ;;
    1?) words=${words%??} ;;
    esac
    i=$((i + 1))
done
echo "$total $words"
