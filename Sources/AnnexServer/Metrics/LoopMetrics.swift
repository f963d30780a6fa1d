import AnnexWire

/// The counts of one event loop. Plain integers: only that loop writes them; `INFO` asks each loop for a copy.
struct LoopMetrics: Sendable {
    /// Counts what happened to one command of the table.
    struct Command: Sendable {
        /// Counts times it was executed.
        var calls = 0
        /// Adds up the time spent in it, on the loop or in a deferred thread.
        var nanoseconds = 0
        /// Counts times it was refused before it was executed (arity, authentication).
        var rejected = 0
        /// Counts times it answered with an error.
        var failed = 0
        var histogram = LatencyHistogram()

        mutating func merge(_ other: Command) {
            self.calls += other.calls
            self.nanoseconds += other.nanoseconds
            self.rejected += other.rejected
            self.failed += other.failed
            self.histogram.merge(other.histogram)
        }
    }

    static let maximumErrorCodes = 128

    var connectionsReceived = 0
    var commandsProcessed = 0
    var inputBytes = 0
    var outputBytes = 0
    var errorReplies = 0
    /// Counts connections closed for holding too much (output limit, all-clients limit).
    var evicted = 0
    /// Counts connections closed by a timeout.
    var timedOut = 0
    var protocolErrors = 0
    var authFailures = 0
    /// Holds the most processor time that one turn of a connection took.
    var longestTurnNanoseconds = 0
    /// Counts of each command, by its position in the table.
    var commands: [Command]
    /// Counts errors by the first word of the reply. `maximumErrorCodes` bounds it.
    var errors: [String: Int] = [:]
    /// These are filled when a copy is taken.
    var connections = 0
    var waiting = 0
    var heldBytes = 0
    var largestInput = 0
    var largestOutput = 0

    /// - Parameter commands: in the table.
    init(commands: Int) { self.commands = [Command](repeating: Command(), count: commands) }

    /// Returns the numbers of all loops together.
    static func sum(_ parts: [LoopMetrics], of table: CommandTable) -> LoopMetrics {
        parts.reduce(into: LoopMetrics(commands: table.specifications.count)) { $0.merge($1) }
    }

    /// Commands with their names, in order of name.
    func named(in table: CommandTable, where wanted: (Command) -> Bool) -> [(name: String, command: Command)] {
        zip(table.specifications, self.commands).filter { wanted($1) }.map { (name: $0.name, command: $1) }
    }

    mutating func turnTook(_ nanoseconds: Int) {
        if nanoseconds > self.longestTurnNanoseconds { self.longestTurnNanoseconds = nanoseconds }
    }

    mutating func countError(_ code: String) {
        self.errorReplies &+= 1
        if let count = self.errors[code] {
            self.errors[code] = count &+ 1
        } else if self.errors.count < Self.maximumErrorCodes {
            self.errors[code] = 1
        }
    }

    /// Adds another loop's numbers. O(commands × buckets).
    mutating func merge(_ other: LoopMetrics) {
        self.connectionsReceived += other.connectionsReceived
        self.commandsProcessed += other.commandsProcessed
        self.inputBytes += other.inputBytes
        self.outputBytes += other.outputBytes
        self.errorReplies += other.errorReplies
        self.evicted += other.evicted
        self.timedOut += other.timedOut
        self.protocolErrors += other.protocolErrors
        self.authFailures += other.authFailures
        self.longestTurnNanoseconds = max(self.longestTurnNanoseconds, other.longestTurnNanoseconds)
        self.connections += other.connections
        self.waiting += other.waiting
        self.heldBytes += other.heldBytes
        self.largestInput = max(self.largestInput, other.largestInput)
        self.largestOutput = max(self.largestOutput, other.largestOutput)
        for (position, command) in other.commands.enumerated() { self.commands[position].merge(command) }
        for (code, count) in other.errors { self.errors[code, default: 0] += count }
    }
}
