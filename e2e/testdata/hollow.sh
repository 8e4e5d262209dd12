#!/bin/sh
# A sandbox that only looks like one: new namespaces, a banner, and no policy at all. With AIGATE_E2E=hollow it takes
# the place of aigate, and every attack has to succeed: a script that still passes shows nothing.
case "$1" in
run)
	while [ "$1" != -- ]; do shift; done
	shift
	echo "[aigate] sandbox active: nothing" >&2
	AIGATE=1 AIGATE_POLICY=/etc/hostname
	export AIGATE AIGATE_POLICY
	exec unshare --user --map-current-user --mount --pid --fork --kill-child --mount-proc -- "$@"
	;;
*)
	exec aigate-real "$@"
	;;
esac
