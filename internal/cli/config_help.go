package cli

import "github.com/spf13/cobra"

// newConfigTopic is a page of help and no command: `aigate help config`.
func newConfigTopic() *cobra.Command {
	return &cobra.Command{
		Use:   "config",
		Short: "The configuration files and their keys",
		Long: `Your own file is ~/.aigate/config.yaml. A project's .aigate.yaml extends it; what
such a file loosens has to be approved with aigate trust. A mistake in either is
an error, and nothing is run.

  group, user      the OS group and user that sudo aigate setup makes

  deny_read        patterns of files that read as empty
  deny_write       patterns that stay unwritable; added to a built-in list
  allow_write      places beside the project and /tmp that can be written; added
                   to a built-in list
                   Patterns read like .gitignore:
                     .env  *.pem      at any depth of the project
                     secrets/         folders only
                     conf/local.yaml  an inner / starts at the project
                     docs/**/key      ** is any number of folders
                     ~/.ssh/ /etc/x   fixed places
                     !.env.example    takes back what is before it

  deny_exec        commands that are refused: "curl", "python2*", or "kubectl delete" for one
                   sub-command
  deny_env         globs (* and ?) of variables that are removed, in either case;
                   added to a built-in list; "!NAME" keeps one

  allow_net        hosts that can be reached, by TCP. An empty list is no network;
                   without the key the network is open
                     api.a.com        this name, on every port
                     api.a.com:443    on this port
                     *.a.com          every name below a.com, not itself
                     203.0.113.9  10.1.0.0/16  [2001:db8::1]:443
                     localhost:11434  a service on this machine

  resource_limits
    max_memory       "4G", "512M"
    max_cpu_percent  1 to 100, of the whole machine
    max_pids         processes and threads
    max_time         "30m", "2h", "1d": the run is ended then, exit status 124
    max_file_size    of any one file that is written
    max_open_files   of each process

  mask_stdout      secrets to black out in the output; with any of these also
                   the values of denied files and removed variables
    presets          openai, anthropic, aws_key, aws_secret, github, bearer,
                     slack, stripe, gitlab, npm, pypi, google, huggingface, jwt,
                     private_key
    patterns         a list of
      regex            RE2
      show_prefix      bytes that stay readable
      case_insensitive true or false

  engine           auto, bwrap or native
  network          gate, or slirp4netns for UDP and raw IP to the allowed hosts`,
	}
}
