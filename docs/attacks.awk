# Writes attacks.md: the comment at the top of every attack script, a row each.
BEGIN {
	print "# The attacks\n"
	print "Every script of `e2e/testdata/attack`, in its own words. Each runs as a plain user and as root, on both engines, and"
	print "shows first that its attack works outside of the sandbox. `make docs/attacks.md` writes this page.\n"
	print "| Script | |"
	print "| --- | --- |"
}
FNR == 1 { finish(); name = FILENAME; sub(/.*\//, "", name); sub(/\.txt$/, "", name); text = ""; top = 1 }
top && /^#/ { sub(/^# ?/, ""); gsub(/\|/, "\\|"); text = text (text == "" ? "" : " ") $0; next }
{ top = 0 }
END { finish() }
function finish() { if (name != "") print "| `" name "` | " text " |" }
