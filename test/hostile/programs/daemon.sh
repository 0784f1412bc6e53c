# {"status":"success","stdout":"main\n"}
(trap '' HUP TERM; sleep 1000 & sleep 1000 & wait) &
echo main
