package mask

// A secret is what a preset looks for: text that stays readable, and right behind it what is masked. Both are RE2.
type secret struct {
	shown, hidden string
	// edge: shown counts only where a word may begin; "task-" is no "sk-".
	edge bool
	// block: a PEM block follows, of which hidden is the beginning.
	block bool
}

type preset struct {
	name    string
	secrets []secret
}

// Characters of tokens. Every token is taken as far as its characters go, whatever length its issuer gives it today.
const (
	word  = `[A-Za-z0-9_-]`
	alnum = `[A-Za-z0-9]`
	// What "Bearer" stands before in prose ("Bearer authentication is off") has no digit and no capital but the first.
	bearerAny    = `(?:[A-Za-z0-9._~+/=-]|\\/)` // PHP writes / as \/ in JSON
	bearerLetter = `[a-z.-]`
	bearerProof  = `[A-Z0-9_~+/=]`
	bearerBare   = `[A-Za-z0-9._~+/=-](?:` +
		bearerProof + bearerAny + `{6}|` + bearerLetter + bearerProof + bearerAny + `{5}|` +
		bearerLetter + `{2}` + bearerProof + bearerAny + `{4}|` + bearerLetter + `{3}` + bearerProof + bearerAny + `{3}|` +
		bearerLetter + `{4}` + bearerProof + bearerAny + `{2}|` + bearerLetter + `{5}` + bearerProof + bearerAny + `|` +
		bearerLetter + `{6,}` + bearerProof + `)` + bearerAny + `*|` + bearerAny + `{20,}|` + word + `{2,}\.` + word + `{2,}\.` + word + `{2,}`
	// Anthropic's, which openai masks the same way. Those of the usual form are known in the middle of a word, too.
	ant     = `sk-ant-`
	antAny  = word + `{3,}`
	antForm = `[a-z]{2,8}[0-9]{2}-` + word + `{20,}`
	// Between a name and its value, as shells, INI files, JSON (also in a string), XML and prompts have it.
	between = `(?: ?\[[^\]]{0,24}\])?[ \t:=>"'\\,|]{1,24}`
	// From the first line of a PEM block to its text: line ends (also as \n), quotes, margins, line numbers.
	margin = `(?:[\t\r\n "'+>|,:;.0-9-]|\\[nrt\\]){0,40}`
	// Or the name of the file before each line, as grep has it, or a frame.
	frame = `[^\r\n]{0,8}\r?\n[^\r\n]{0,100}`
)

// notAnt is what OpenAI's sk- may go on with: at least 20 characters (16 where there is no hyphen) that are not ant-.
const notAnt = `(?:[A-Za-z0-9_]{16}|[b-zA-Z0-9_-]` + word + `{19}|a[a-mo-zA-Z0-9_-]` + word + `{18}|an[a-su-zA-Z0-9_-]` + word + `{17}|ant[A-Za-z0-9_]` + word + `{16})` + word + `*`

var presets = [...]preset{
	{"openai", []secret{
		{shown: `sk-`, hidden: notAnt, edge: true},
		{shown: `sk-`, hidden: `(?:proj|svcacct|admin|None|or-v1)-` + word + `{4,}`, edge: true},
		{shown: `sk-`, hidden: `proj-` + word + `{40,}|` + alnum + `{20}T3BlbkFJ` + alnum + `{20,}`},
		{shown: ant, hidden: antAny, edge: true}, // not to end as sk-***
		{shown: ant, hidden: antForm},
	}},
	{"anthropic", []secret{
		{shown: ant, hidden: antAny, edge: true},
		{shown: ant, hidden: antForm},
	}},
	{"aws_key", []secret{{shown: `AKIA|ASIA`, hidden: `[A-Z0-9]{16,}`}}},
	{"aws_secret", []secret{
		{shown: `(?i:secret[ _-]?(?:access[ _-]?)?key)` + between, hidden: `(?:[A-Za-z0-9+/]|\\/){40,}=*`},
		{shown: `(?i:session[ _-]?token)` + between, hidden: `(?:[A-Za-z0-9+/]|\\/){100,}=*`},
	}},
	{"github", []secret{
		{shown: `gh[pousr]_`, hidden: `(?:[0-9]{3,}_)?` + alnum + `{16,}[A-Za-z0-9_]*(?:[.-]` + word + `+)*`},
		{shown: `github_pat_`, hidden: `[A-Za-z0-9_]{20,}`},
	}},
	{"bearer", []secret{
		{shown: `(?i:zation)(?:\\?["'])?[ \t]*[:=][ \t]*(?:\\?["'])?(?i:bearer|basic|token)(?:[ \t]+|%20)`, hidden: bearerAny + `{4,}`},
		{shown: `(?i:bearer)(?:[ \t]+|%20)`, hidden: bearerBare},
	}},
	{"slack", []secret{
		{shown: `xox[abeoprs]-`, hidden: `[A-Za-z0-9-]{10,}`},
		{shown: `xapp-`, hidden: `[0-9]-[A-Za-z0-9-]{10,}`},
		{shown: `hooks\.slack\.com\\?/(?:services|workflows|triggers)\\?/`, hidden: `[A-Za-z0-9/_+\\]{20,}`},
	}},
	{"stripe", []secret{
		{shown: `[sr]k(?:_org)?_(?:live|test)_`, hidden: alnum + `{10,}`, edge: true},
		{shown: `[sr]k_live_`, hidden: alnum + `{24,}`},
		{shown: `whsec_`, hidden: `[A-Za-z0-9+/]{20,}=*`},
	}},
	{"gitlab", []secret{
		{shown: `gl(?:pat|dt|rt|rtr|cbt|ptt|ft|imt|agent|soat|oas|ffct|wt)-`, hidden: word + `{16,}(?:\.` + word + `+)*`},
		{shown: `GR1348941`, hidden: word + `{16,}`},
	}},
	{"npm", []secret{
		{shown: `npm_`, hidden: alnum + `{30,}`},
		{shown: `_authToken[ \t]*=[ \t"]*`, hidden: `[A-Za-z0-9_+/=-]{16,}`},
	}},
	{"pypi", []secret{{shown: `pypi-`, hidden: `AgE` + word + `{20,}`}}},
	{"google", []secret{
		{shown: `AIza`, hidden: word + `{30,}`},
		{shown: `GOCSPX-`, hidden: word + `{20,}`},
		{shown: `ya29\.`, hidden: `[A-Za-z0-9_.-]{20,}`},
	}},
	{"huggingface", []secret{
		{shown: `hf_`, hidden: alnum + `{30,}`},
		{shown: `api_org_`, hidden: alnum + `{30,}`},
	}},
	{"jwt", []secret{{shown: `eyJ`, hidden: word + `{8,}\.` + word + `{4,}(?:\.` + word + `*)*`}}},
	{"private_key", []secret{
		{shown: `-----BEGIN (?:[A-Z0-9]{1,16} ){0,3}PRIVATE KEY(?: BLOCK)?-----`, block: true,
			hidden: margin + `(?:[A-Za-z0-9+/]{20}|Proc-Type|DEK-Info|Version|Comment|Charset)|` + frame + `[A-Za-z0-9+/]{40}`},
		{shown: `AGE-SECRET-KEY-1`, hidden: `[0-9A-Z]{30,}`},
	}},
}

// Presets lists the names that Rules.Presets takes.
func Presets() []string {
	names := make([]string, len(presets))
	for i := range presets {
		names[i] = presets[i].name
	}
	return names
}

// Expressions gives the presets as regular expressions, what they show and what they mask together, for comparison.
func Expressions() (all []string) {
	for i := range presets {
		for _, s := range presets[i].secrets {
			all = append(all, "(?:"+s.shown+")(?:"+s.hidden+")")
		}
	}
	return all
}

func findPreset(name string) *preset {
	for i := range presets {
		if presets[i].name == name {
			return &presets[i]
		}
	}
	return nil
}
