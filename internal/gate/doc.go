// Package gate is the sandbox's only way to the network: by name, for programs
// that know nothing of it.
//
// What it promises, whatever the program inside does:
//
//   - Nothing is looked up and no packet leaves before a rule has said yes. A
//     name that no rule names does not exist inside; its lookup never reaches a
//     server, so that lookups cannot carry data out.
//   - A connection's destination is its name. Each allowed name has an address
//     of its own that means nothing outside, so that allowing a name does not
//     allow its neighbours on the same address.
//   - Where the program says a name itself, in TLS or plain HTTP, that name is
//     held to the rules as well.
//   - An allowed name does not lead to what only this machine can reach: not to
//     loopback, link-local or metadata addresses, and to private ones only where
//     a rule without a wildcard says the name.
//   - What is refused is refused at once, so that programs see an ordinary
//     error and not a long silence, and each refusal is an Event.
//   - When aigate dies, connections die. Nothing falls open: there is no other
//     route to fall back on.
//
// Rules are plain data (rule.go). Names, Resolver and Dialer each answer one
// question and can be used and tested alone; Gate puts them together, and the
// front ends hand it what came out of the sandbox.
package gate
