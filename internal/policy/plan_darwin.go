package policy

// judgedByName: Seatbelt judges every name when it is used, also that of a file
// that has just appeared.
const judgedByName = true
