# What the demo runs inside the sandbox: every line is an attempt, and what
# came of it. Exit 1 when one came out otherwise than promised.

good= bad= dim= plain=
if [ -n "${DEMO_COLOR:-}" ]; then
	good=$'\e[32m' bad=$'\e[1;31m' dim=$'\e[2m' plain=$'\e[0m'
fi
wrong=0

# told WHAT AS-PROMISED OUTCOME
told() {
	local mark="${good}ok${plain}  "
	if [ "$2" != yes ]; then mark="${bad}BAD${plain} "; wrong=1; fi
	printf '  %s %-44s %s\n' "$mark" "$1" "${dim}$3${plain}"
}

# works COMMAND: the ordinary work of an agent.
works() {
	if out=$(eval "$1" 2>&1); then told "$1" yes "${2:-$out}"; else told "$1" no "${out##*: }"; fi
}

# empty COMMAND: it must print nothing but, perhaps, an error.
empty() {
	local errors
	errors=$(eval "$1" 2>&1 >/dev/null | tail -n 1)
	out=$(eval "$1" 2>/dev/null)
	if [ -z "$out" ]; then told "$1" yes "${2:-${errors##*: }}"; else told "$1" no "$out"; fi
}

# refused COMMAND: it must fail.
refused() {
	if out=$(eval "$1" 2>&1); then told "$1" no "${out:-worked}"; else
		out=${out##*$'\n'}
		told "$1" yes "${2:-${out##*: }}"
	fi
}

echo "  the work goes on"
works 'cat src/app.py'
works 'echo "# new" >>src/app.py' 'written'
works 'id -un'

echo "  what the policy denies reads as empty"
empty 'cat .env' 'reads as empty'
empty 'cat innocent.txt' 'a link to .env: empty too'
empty 'ls secrets' 'lists as empty'
empty 'cat /proc/1/root$PWD/.env'
empty 'ls -A ~/.ssh' 'lists as empty, or is not there'
empty 'echo $AWS_SECRET_ACCESS_KEY' 'not in the environment'

echo "  it cannot be undone from within"
refused 'umount .env'
refused 'unshare -rm umount .env'
refused 'mv .env elsewhere'
refused 'cp src/app.py .env'

echo "  nothing changes that your shell, git or editor would run"
refused ': >>~/.bashrc'
refused ': >>/etc/profile'
refused 'touch .git/hooks/pre-commit'
refused 'git config core.pager evil'
refused 'touch .aigate.yaml'

echo "  the rest of the machine is out of reach"
refused 'curl https://example.com'
refused 'echo >/dev/tcp/192.0.2.1/443'
refused 'kill -0 $HOST_PROCESS' 'the host has it, the sandbox does not'
works 'ls -d /proc/[0-9]*' "$(ls -d /proc/[0-9]* | wc -l) processes, all of the sandbox"
empty 'ls /run/docker.sock /run/dbus /run/user/*/bus' 'no sockets of the host'
exit $wrong
