package policy

import (
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// leadsTo gives the git folder that a project's .git leads to when it is a file
// or a link, "" when it is neither.
func leadsTo(project string) string {
	dot := filepath.Join(project, ".git")
	var st unix.Stat_t
	if unix.Lstat(dot, &st) != nil || isDir(st) {
		return ""
	}
	to := dot
	if !isLink(st) {
		line, ok := strings.CutPrefix(readFile(dot), "gitdir: ")
		if !ok {
			return ""
		}
		to = absolute(project, strings.TrimRight(line, "\n"))
	}
	dir, st, err := realPath(to)
	if err != nil || !isDir(st) || !isWorktreeOrGitDir(dir) {
		return ""
	}
	return dir
}

// gitDirs gives the git folders of a project whose .git is a file: a worktree's
// (the one it shares with the others) or a submodule's. A command may have made
// that file in an earlier run, to have another repository opened in this one: a
// folder that does not lead back to the project is none of its own.
// See gitrepository-layout(5).
func gitDirs(project string) []string {
	dir := leadsTo(project)
	if dir == "" {
		return nil
	}
	if common := strings.TrimRight(readFile(filepath.Join(dir, "commondir")), "\n"); common != "" {
		shared, st, err := realPath(absolute(dir, common))
		// The link back alone could be forged, in a folder of the command's own.
		if err != nil || !isDir(st) || !isGitDir(shared) || filepath.Dir(dir) != filepath.Join(shared, "worktrees") || !linkedBack(dir, project) {
			return nil
		}
		return []string{shared}
	}
	if below(dir, project) || inModules(dir, project) && isTreeOf(dir, project) {
		return []string{dir}
	}
	return nil
}

// linkedBack says that a worktree's folder names the project's .git.
func linkedBack(dir, project string) bool {
	link := strings.TrimSpace(readFile(filepath.Join(dir, "gitdir")))
	if link == "" {
		return false
	}
	tree, err := realDir(filepath.Dir(absolute(dir, link)))
	return err == nil && tree == project && filepath.Base(link) == ".git"
}

// isTreeOf says that a submodule's configuration names the project.
func isTreeOf(dir, project string) bool {
	to := readGitConfig(filepath.Join(dir, "config")).worktree
	if to == "" {
		return false
	}
	tree, err := realDir(absolute(dir, to))
	return err == nil && tree == project
}

// inModules says that a git folder is kept by the repository around the project.
// The innermost one decides: to ask all would take ever longer with the depth.
func inModules(dir, project string) bool {
	for at := project; at != "/"; {
		at = filepath.Dir(at)
		var st unix.Stat_t
		if unix.Lstat(filepath.Join(at, ".git"), &st) != nil {
			continue
		}
		if isDir(st) {
			return below(dir, filepath.Join(at, ".git", "modules"))
		}
		around := gitDirs(at)
		return len(around) == 1 && below(dir, around[0])
	}
	return false
}

func absolute(base, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(base, path)
}

// isGitDir says that dir is a repository's folder, under whatever name. The
// check is cheap for the folders that it is not: names first.
func isGitDir(dir string) bool {
	return strings.HasSuffix(dir, ".git") && isWorktreeOrGitDir(dir) // bare ones are called x.git
}

// submodules gives the git folders of a repository's submodules. Their names
// may hold slashes, and they may have submodules of their own.
func submodules(repo string) (out []string) {
	var look func(dir string)
	look = func(dir string) {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return
		}
		for _, e := range entries {
			sub := filepath.Join(dir, e.Name())
			switch {
			case !e.IsDir():
			case isWorktreeOrGitDir(sub):
				out = append(out, sub)
				look(filepath.Join(sub, "modules"))
			default:
				look(sub)
			}
		}
	}
	look(filepath.Join(repo, "modules"))
	return out
}

func isWorktreeOrGitDir(dir string) bool {
	return exists(filepath.Join(dir, "HEAD")) &&
		(exists(filepath.Join(dir, "objects")) || exists(filepath.Join(dir, "commondir")))
}
