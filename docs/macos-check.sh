#!/bin/sh
# macos-check.sh tries on a Mac what docs/macos.md promises: every line is an
# attack, or something that has to go on working. It makes one folder in your
# home, with a home of its own in it, and removes it. It asks for no password.
#
#     sh docs/macos-check.sh ./aigate
#
# The exit status is the number of lines that are not ok.
set -u
aigate=${1:-$(command -v aigate)}
case $aigate in /*) ;; *) aigate=$PWD/$aigate ;; esac
[ -x "$aigate" ] || { echo "no aigate at $aigate: sh docs/macos-check.sh path/to/aigate"; exit 1; }
[ "$(uname)" = Darwin ] || { echo "this is no Mac"; exit 1; }

real_home=$HOME
box=$(mktemp -d "$HOME/aigate-check.XXXXXX") || exit 1
bad=0
trap 'rm -rf "$box"' EXIT
export HOME="$box/home"
mkdir -p "$HOME/.ssh" "$box/home/shop/sub" "$box/home/shop/secrets"
project=$box/home/shop
cd "$project" || exit 1
git init -q . && git config user.email a@example.com && git config user.name a
echo TOPSECRET >.env
echo TOPSECRET >secrets/key
echo TOPSECRET >sub/server.pem
echo TOPSECRET >"$HOME/.ssh/id_ed25519"
echo fine >.env.example
echo fine >main.txt
echo 'export X=1' >"$HOME/.zshrc"
"$aigate" init >/dev/null || exit 1
cat >.aigate.yaml <<'YAML'
deny_read: ["vault.txt"]
YAML
# Rules of our own: curl is needed here, and one host.
cat >"$HOME/.aigate/config.yaml" <<'YAML'
deny_read: [".env", ".env.*", "!.env.example", "secrets/", "*.pem", "~/.ssh/"]
deny_exec: ["nc"]
allow_net: ["example.com"]
YAML

inside() { "$aigate" run --quiet -- /bin/sh -c "$1" 2>&1; }

# refused WHAT COMMAND: it fails inside, and shows no secret.
refused() {
	said=$(inside "$2"); status=$?
	case $said in *TOPSECRET*) status=0 ;; esac
	if [ $status -ne 0 ]; then echo "ok    refused: $1"; else echo "FAIL  NOT REFUSED: $1: $said"; bad=$((bad + 1)); fi
}

# works WHAT COMMAND: it succeeds inside.
works() {
	if said=$(inside "$2"); then echo "ok    works: $1"; else echo "FAIL  does not work: $1: $said"; bad=$((bad + 1)); fi
}

works 'a command'                       true
if [ $bad -ne 0 ]; then echo "nothing starts; the rest would say nothing"; "$aigate" doctor; exit 1; fi
inside 'exit 7' >/dev/null; [ $? -eq 7 ] || { echo "FAIL  exit status"; bad=$((bad + 1)); }

echo; echo "files that cannot be read"
refused '.env'                          'cat .env'
refused '.env in another case'          'cat .ENV'
refused 'by /tmp, /private, ..'         'cat ../shop/sub/../.env'
refused 'by a link'                     'ln -s .env a.txt; cat a.txt'
refused 'by a hard link'                'ln .env b.txt && cat b.txt'
refused 'by a clone'                    'cp -c .env c.txt && cat c.txt'
refused 'by a new name'                 'mv .env d.txt && cat d.txt'
refused 'by a new name of its folder'   'mv sub sub2 && cat sub2/server.pem'
refused 'by a new name of the project'  'mv ../shop ../shop2'
refused 'by swapping it'                'touch e.txt; python3 -c "import os,ctypes; l=ctypes.CDLL(None); exit(l.renamex_np(b\"e.txt\",b\".env\",2)!=0)" && cat e.txt'
refused 'a folder, listed'              'ls secrets'
refused 'what is in it'                 'cat secrets/key'
refused '~/.ssh'                        'cat ~/.ssh/id_ed25519'
refused 'aigate itself'                 'cat ~/.aigate/config.yaml'
refused 'a name that comes later'       'echo x >new.pem; cat new.pem'
refused 'temporary files of others'     'ls /private/tmp'
refused 'another terminal'              'for t in /dev/ttys0*; do [ "$t" != "$(tty)" ] && : <"$t" && exit 0; done; exit 1'
refused "git's copy of it"              'git add -f .env'
works   'what is taken back'            'grep -q fine .env.example'
works   'the rest'                      'grep -q fine main.txt && ls -la >/dev/null && git status >/dev/null'
( sleep 2; echo TOPSECRET >late.pem ) &
refused 'one that appears meanwhile'    'sleep 4; cat late.pem'
wait; rm -f late.pem

echo; echo "what stays as it is"
refused 'the home'                      'echo x >>~/.zshrc'
refused 'another folder'                "touch '$real_home/aigate-was-here'"
refused 'a hook'                        'echo x >.git/hooks/pre-commit'
refused 'a hook, in another case'       'mkdir -p .GIT/HOOKS; echo x >.GIT/HOOKS/pre-commit'
refused 'the hooks, moved in'           'mkdir h; echo x >h/pre-commit; mv .git/hooks .git/old; mv h .git/hooks'
refused '.git, swapped'                 'mv .git .git2'
refused "git's configuration"           'git config core.pager evil'
refused 'a name that is not there yet'  'mkdir .vscode && echo {} >.vscode/tasks.json'
refused 'the same, in another case'     'mkdir .VSCode && echo {} >.VSCode/tasks.json'
refused '.aigate.yaml'                  'echo x >>.aigate.yaml'
works   'the project'                   'echo x >made && mkdir -p x/y && rm -r made x'
works   'git commit'                    'git add main.txt && git commit -qm one'
works   'TMPDIR'                        'echo x >"$TMPDIR/f" && mktemp >/dev/null'
[ -e "$real_home/aigate-was-here" ] && { echo "FAIL  wrote to your home"; rm -f "$real_home/aigate-was-here"; bad=$((bad + 1)); }

echo; echo "the network"
works   'an allowed host, by HTTPS'     'curl -sSf -m 20 -o /dev/null https://example.com'
works   'an allowed host, by HTTP'      'curl -sSf -m 20 -o /dev/null http://example.com'
works   'by SOCKS'                      'curl -sSf -m 20 -o /dev/null --proxy "$AIGATE_SOCKS" https://example.com'
refused 'another host'                  'curl -sSf -m 20 -o /dev/null https://www.apple.com'
refused 'around the proxy'              "curl -sSf -m 10 -o /dev/null --noproxy '*' --resolve example.com:443:1.1.1.1 https://example.com"
refused 'by address'                    "curl -sSf -m 10 -o /dev/null --noproxy '*' http://1.1.1.1"
refused 'a look-up'                     'python3 -c "import socket; socket.getaddrinfo(\"data.example.org\", 80)"'
refused 'UDP'                           'python3 -c "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b\"x\", (\"1.1.1.1\", 53))"'
refused 'a service of this machine'     'python3 -c "
import socket
try: socket.create_connection((\"127.0.0.1\", 22), 3)
except PermissionError: exit(1)
except OSError: pass"'
refused 'the ssh agent'                 'SSH_AUTH_SOCK=$(ls /private/tmp/com.apple.launchd.*/Listeners 2>/dev/null | head -1) ssh-add -l'
refused 'docker'                        'curl -sSf -m 5 --unix-socket /var/run/docker.sock http://d/version'
refused 'a denied command'              'nc -z example.com 443'

echo; echo "the rest of the machine"
refused 'a program, by LaunchServices'  'open -a Calculator'
refused 'a program, by Apple events'    'osascript -e "tell application \"Finder\" to get name of startup disk"'
refused 'a job of launchd'              'launchctl submit -l aigate.check -- /usr/bin/touch /tmp/aigate-launched; sleep 2; ls /tmp/aigate-launched'
refused 'the keychain'                  'security dump-keychain'
refused 'the clipboard'                 'test -n "$(pbpaste 2>/dev/null)"'
refused 'signals to others'             "kill -0 $$"
refused 'other processes'               'ps ax'
refused 'sudo'                          'sudo -n true'
launchctl remove aigate.check 2>/dev/null
pid_file=$box/pid
"$aigate" run --quiet -- /bin/sh -c 'echo $$ >pid; sleep 1000 & sleep 1000' &
run=$!
while [ ! -s pid ]; do sleep 1; done
child=$(cat pid); kill -9 $run; sleep 2
if kill -0 "$child" 2>/dev/null; then echo "FAIL  the command survives aigate"; kill -9 "$child"; bad=$((bad + 1)); else echo "ok    the command dies with aigate"; fi
rm -f "$pid_file" pid
if ls -d /private/tmp/aigate-* >/dev/null 2>&1; then echo "FAIL  a folder of a run is left in /private/tmp (or another run is under way)"; bad=$((bad + 1)); else echo "ok    nothing is left in /private/tmp"; fi
if script -q /dev/null "$aigate" run --quiet -- /bin/sh -c 'test -t 0 && stty size >/dev/null && tty' </dev/null | grep -q /dev/ttys; then
	echo "ok    a terminal"
else
	echo "FAIL  a terminal"; bad=$((bad + 1))
fi
echo
echo "$bad not ok; $("$aigate" version | head -1); macOS $(sw_vers -productVersion 2>/dev/null); $(uname -m)"
exit $bad
