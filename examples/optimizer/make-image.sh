#!/bin/sh
# Makes the image of this machine's own Node and the two files here, where no registry is within reach. Linux only.
set -eu
cd "$(dirname "$0")"
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT

node=$(node -p 'fs.realpathSync(process.execPath)')
libraries=$(node -p 'process.report.excludeNetwork = true
  process.report.getReport().sharedObjects.filter((path) => path.startsWith("/")).join("\n")')
mkdir -p "$root/app" "$root/usr/bin"
mkdir -m 1777 "$root/tmp"
cp main.mjs solver.mjs "$root/app"
for file in "$node" $libraries; do
  mkdir -p "$root$(dirname "$file")"
  cp -L "$file" "$root$file"
done
[ -e "$root/usr/bin/node" ] || ln -s "$node" "$root/usr/bin/node"
tar --create --owner=0 --group=0 --directory "$root" . |
  docker import --change 'ENTRYPOINT ["/usr/bin/node", "/app/main.mjs"]' - opthub-runner-example/optimizer:1.0.0
