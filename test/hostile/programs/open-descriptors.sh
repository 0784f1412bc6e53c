# {"status":"success","stdout":"0 1 2\n"}
# Nothing of the engine's or ours is left open.
found=
for fd in 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do
  [ -e /proc/$$/fd/$fd ] && case $(readlink /proc/$$/fd/$fd 2>/dev/null) in */main.sh) ;; *) found="$found $fd" ;; esac
done
echo $found
