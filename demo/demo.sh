#!/bin/bash
# The story that `make demo` tells: a project with a secret, and a command in
# the sandbox that tries what a turned agent would. Nothing of the user's is
# written: the policy is the built-in one, the project a temporary folder.
set -euo pipefail
unset DEMO_COLOR

aigate=$(realpath "${1:?usage: demo.sh PATH-OF-AIGATE}")
here=$(realpath "$(dirname "$0")")

bold= dim= plain=
if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then
	bold=$'\e[1m' dim=$'\e[2m' plain=$'\e[0m'
	export DEMO_COLOR=1
fi
for tool in git realpath mktemp; do
	command -v "$tool" >/dev/null || { echo "the demo needs $tool; on Debian and Ubuntu: sudo apt-get install git coreutils" >&2; exit 1; }
done

folder=$(mktemp -d "${TMPDIR:-/tmp}/aigate-demo.XXXXXX")
trap 'rm -rf "$folder"; kill "$host" 2>/dev/null || true' EXIT
project=$folder/shop
mkdir -p "$project/secrets" "$project/src"
cd "$project"
git -c init.defaultBranch=main init -q
echo 'DB_PASSWORD=correct-horse-battery-staple' >.env
echo 'the key of the payment provider' >secrets/payment
echo 'print("hello")' >src/app.py
printf '.env\nsecrets/\n' >.gitignore
ln -s .env innocent.txt
sleep 300 & # a process of yours, which the command shall not see
host=$!

cat <<END
${bold}A project with secrets${plain}, $project:

$(for f in .env secrets/payment src/app.py; do printf '  %-16s %s\n' "$f" "${dim}$(cat "$f")${plain}"; done)

${bold}A command runs there in the sandbox${plain}, with the built-in policy:

  ${dim}\$${plain} aigate run --defaults -- demo/agent.sh

END

# The script itself may lie where the sandbox has something private, in /tmp.
# So it goes in as text.
status=0
AWS_SECRET_ACCESS_KEY=not-a-real-one HOST_PROCESS=$host \
	"$aigate" run --defaults -- bash -c "$(cat "$here/agent.sh")" agent.sh || status=$?

cat <<END

${bold}Afterwards, outside${plain}:

  .env             ${dim}$(cat .env)${plain}
  git status       ${dim}$(git status --short | tr '\n' ' ')${plain}
  .git/hooks       ${dim}$(find .git/hooks -type f ! -name '*.sample' 2>/dev/null | wc -l) hooks that git would run${plain}

END
if [ "$status" != 0 ]; then
	echo "The sandbox did not hold what it promises (see above)."
	exit 1
fi
echo "Try it on yours:  aigate init;  aigate run -- claude   (README.md tells more)"
