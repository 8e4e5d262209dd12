package guard

import "strings"

// A tool is what the guard knows of a program's command line.
type tool struct {
	// values are the options that take the next word for their value, each
	// between blanks.
	values string
	// skip are words that change nothing: `docker container rm` is `docker rm`.
	skip string
	// long says that options of many letters have one dash, as Go's flags do.
	long bool
}

func (t tool) known() bool { return t.values != "" }

// through says that a word may stand before a sub-command and changes nothing.
func (t tool) through(word string) bool { return word != "" && has(t.skip, word) }

// plain takes those words out of a rule.
func (t tool) plain(sub []string) []string {
	for len(sub) > 1 && t.through(sub[0]) {
		sub = sub[1:]
	}
	return sub
}

func has(list, word string) bool { return strings.Contains(list, " "+word+" ") }

type optionKind uint8

const (
	noOption optionKind = iota
	noValue             // or one that it has with it
	takesValue
	mayTakeValue
)

// kindOf says what a word is to a tool.
func (t tool) kindOf(word string) optionKind {
	switch {
	case len(word) < 2 || word[0] != '-':
		return noOption
	case word == "--" || strings.Contains(word, "="):
		return noValue
	case has(t.values, word):
		return takesValue
	case word[1] == '-' || t.long || len(word) == 2:
		return mayTakeValue
	case has(t.values, word[:2]):
		return noValue // -nprod
	}
	return mayTakeValue // -itn prod
}

// toolOf gives the options that may stand before a sub-command or between its
// words, from the tools' own help, and those of the sub-commands that people put
// there. A tool that is not listed has none.
func toolOf(name string) tool {
	switch name {
	case "kubectl", "oc":
		return tool{values: " -n --namespace --context --cluster --user --kubeconfig -s --server --token --as --as-group --as-uid" +
			" --as-user-extra --certificate-authority --client-certificate --client-key --cache-dir --username --password --profile" +
			" --profile-output --request-timeout --tls-server-name -v --v --vmodule --log-flush-frequency --kuberc" +
			" -l --selector -f --filename -k --kustomize -o --output -c --container --field-selector --field-manager --grace-period --timeout" +
			" --template --raw --cascade --dry-run --chunk-size "}
	case "docker":
		return tool{skip: " container ", values: " --config -c --context -H --host -l --log-level --tlscacert --tlscert --tlskey" +
			" -f --file -p --project-name --profile --project-directory --env-file --ansi --parallel --progress "}
	case "podman":
		return tool{skip: " container ", values: " --cdi-spec-dir --cgroup-manager --config --conmon -c --connection --db-backend --events-backend" +
			" -H --host --hooks-dir --identity --imagestore --log-level --module --network-cmd-path --network-config-dir --out --pull-option" +
			" --root --runroot --runtime --runtime-flag --ssh --storage-driver --storage-opt --tmpdir --url --volumepath" +
			" -f --file -p --project-name --profile --env-file "}
	case "git":
		return tool{values: " -C -c --git-dir --work-tree --namespace --super-prefix --config-env --attr-source --shallow-file "}
	case "gh":
		return tool{values: " -R --repo --hostname "}
	case "aws":
		return tool{values: " --endpoint-url --output --query --profile --region --color --ca-bundle --cli-read-timeout --cli-connect-timeout" +
			" --cli-binary-format "}
	case "gcloud":
		return tool{skip: " alpha beta preview ", values: " --access-token-file --account --billing-project --configuration --flags-file --flatten --format" +
			" --impersonate-service-account --project --trace-token --verbosity --region --zone --location --filter --limit --page-size --sort-by --universe-domain "}
	case "terraform", "tofu":
		return tool{long: true, values: " --chdir "} // which it knows with = alone
	case "npm":
		return tool{values: " -C --prefix -w --workspace --registry --userconfig --globalconfig --cache --loglevel --tag --otp --access --scope" +
			" --omit --include --before --script-shell --node-options "}
	case "helm":
		return tool{values: " -n --namespace --kube-context --kubeconfig --kube-apiserver --kube-as-user --kube-as-group --kube-ca-file" +
			" --kube-token --kube-tls-server-name --registry-config --repository-cache --repository-config --burst-limit --qps" +
			" --content-cache --color --colour "}
	case "systemctl":
		return tool{values: " -t --type --state -p --property -P -H --host -M --machine -C --capsule -n --lines -o --output -s --signal" +
			" --kill-whom --kill-who --kill-value --root --image --image-policy --job-mode --what --preset-mode --message --boot-loader-menu" +
			" --boot-loader-entry --timestamp --drop-in --when --check-inhibitors --firmware-setup --legend "}
	}
	return tool{}
}
