package sandbox

// Only is the engine of a system that has no choice: there are two here.
const Only Engine = ""

// SharesLoopback says that a server inside is on this machine's own loopback.
const SharesLoopback = false
