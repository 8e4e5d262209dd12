package policy

import (
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// gitDirs gives the git folders of a project whose .git is a file: a worktree
// (its own folder and the one it shares with the others) or a submodule.
// See gitrepository-layout(5).
func gitDirs(project string) []string {
	dot := filepath.Join(project, ".git")
	var st unix.Stat_t
	if unix.Lstat(dot, &st) != nil || isDir(st) {
		return nil
	}
	if isLink(st) {
		if real, st, err := realPath(dot); err == nil && isDir(st) && isGitDir(real) {
			return []string{real}
		}
		return nil
	}
	line, ok := strings.CutPrefix(readFile(dot), "gitdir: ")
	if !ok {
		return nil
	}
	dir, st, err := realPath(absolute(project, strings.TrimRight(line, "\n")))
	if err != nil || !isDir(st) || !isWorktreeOrGitDir(dir) {
		return nil
	}
	common := strings.TrimRight(readFile(filepath.Join(dir, "commondir")), "\n")
	if common == "" {
		return []string{dir}
	}
	shared, st, err := realPath(absolute(dir, common))
	if err != nil || !isDir(st) || !isGitDir(shared) {
		return nil
	}
	// The worktree's own folder lies in the shared one, in all but odd cases.
	if below(dir, shared) {
		return []string{shared}
	}
	return []string{shared, dir}
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
