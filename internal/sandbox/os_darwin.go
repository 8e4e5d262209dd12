package sandbox

// Only is the engine of a system that has no choice.
const Only = SeatbeltEngine

// SharesLoopback says that a server inside is on this machine's own loopback.
const SharesLoopback = true
