package e2e

import (
	"os"
	"path/filepath"

	"github.com/rogpeppe/go-internal/testscript"
)

// machine SCRIPT runs a shell script as root of a machine of its own, as far as accounts go: /etc, /usr/sbin and /var/lib are
// layers over the real ones and are gone with it. There is a user, ada, with a home, $ADA, and two words:
//
//	ada CMD...        runs CMD as her
//	sudo CMD...       runs CMD as root the way that sudo does when she calls it
//	runner CMD...     runs CMD as the sandbox's user, in no sandbox
//
// It sees its own processes only: another test's, of the same free uid, would keep userdel(8) from removing a user.
//
// The script's exit status and output are those of the command.
func (s *story) machine(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: machine script")
	}
	if s.caller != "root" {
		ts.Fatalf("machine: only root can; write [plain] stop before it")
	}
	top := filepath.Join(s.work, "machine")
	ts.Check(os.MkdirAll(filepath.Join(top, "bin"), 0o755))
	for name, text := range map[string]string{
		"ada":    "exec setpriv --reuid ada --regid ada --init-groups env HOME=$ADA USER=ada \"$@\"\n",
		"sudo":   "exec env SUDO_UID=$(id -u ada) SUDO_GID=$(id -g ada) SUDO_USER=ada HOME=/root USER=root \"$@\"\n",
		"runner": "exec setpriv --reuid ai-runner --regid ai-agents --clear-groups env HOME=/ \"$@\"\n",
	} {
		ts.Check(os.WriteFile(filepath.Join(top, "bin", name), []byte("#!/bin/sh\n"+text), 0o755))
	}
	s.exec(ts, "unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "private", "sh", "-ec", layers, "sh", top, place, filepath.Join(place, "bin"), ts.MkAbs(args[0]))
	if neg == (s.status == 0) {
		ts.Fatalf("on its machine: exit status %d\n%s", s.status, s.output)
	}
}

const layers = `
top=$1 place=$2 bin=$3 script=$4
mount -t tmpfs none /mnt
mkdir /mnt/place
mount --bind $place /mnt/place
for at in /etc /usr/sbin /var/lib; do
	mkdir -p /mnt/up$at /mnt/work$at
	mount -t overlay -o lowerdir=$at,upperdir=/mnt/up$at,workdir=/mnt/work$at none $at
done
rm -rf /var/lib/aigate
mount --bind /mnt/place $place
export ADA=$top/ada PATH=$top/bin:$PATH
rm -rf $ADA
mkdir -p $ADA
useradd --home-dir $ADA --shell /bin/sh ada
chown ada:ada $ADA
chmod 750 $ADA
cd $ADA
exec sh -eu $script
`
