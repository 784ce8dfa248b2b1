#!/bin/busybox sh
# shellcheck shell=dash
# The guest's first process: does what the test asks for on the serial console, until that says to power off.
# Asked "NUMBER COMMAND", it answers with what the command prints, between lines that have the number.
/bin/busybox --install -s /bin
mkdir -p /proc /sys /dev /run /tmp /var
ln -s /run /var/run
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
exec </dev/console >/dev/console 2>&1
stty -echo -onlcr
export PATH=/bin HOME=/
echo "%% guest ready"
while read -r number line; do
  echo "%% $number begins"
  eval "$line" </dev/null
  echo "%% $number ends with $?"
done
poweroff -f
