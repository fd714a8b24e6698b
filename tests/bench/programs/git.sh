# git.sh: a repository is made of a tree of files, changed, and asked about.

set -e
export GIT_AUTHOR_DATE='1700000000 +0000' GIT_COMMITTER_DATE='1700000000 +0000' GIT_CONFIG_NOSYSTEM=1 HOME=/tmp
export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a
rm -rf /tmp/repository
cp -r /data/tree /tmp/repository
cd /tmp/repository
git init -q -b main
git add .
git commit -q -m first
for file in dir1/*.c; do
    sed -i 's/memory/storage/' "$file"
done
git status --short | tail -n 2
git diff | tail -n 2
git commit -q -a -m second
git mv dir2 dir9
git commit -q -m third
git repack -q -a -d
git log -p -M --stat --no-color | tail -n 3
git fsck
git rev-parse HEAD
rm -rf /tmp/repository
