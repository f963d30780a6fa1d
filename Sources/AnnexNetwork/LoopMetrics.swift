/// What one event loop has counted. Plain integers: only that loop writes them; `INFO` asks each loop for a copy.
struct LoopMetrics: Sendable {
    /// One command of the table.
    struct Command: Sendable {
        /// Times it was executed.
        var calls = 0
        /// Time spent in it, on the loop or in a deferred thread.
        var nanoseconds = 0
        /// Times it was refused before it was executed (arity, authentication).
        var rejected = 0
        /// Times it answered with an error.
        var failed = 0
        var histogram = LatencyHistogram()
    }

    static let maximumErrorCodes = 128

    var connectionsReceived = 0
    var commandsProcessed = 0
    var inputBytes = 0
    var outputBytes = 0
    var errorReplies = 0
    /// Connections closed for holding too much (output limit, all-clients limit).
    var evicted = 0
    /// Connections closed by a timeout.
    var timedOut = 0
    var protocolErrors = 0
    var authFailures = 0
    /// By command name, as in the table. Bounded by the table.
    var commands: [String: Command] = [:]
    /// By the first word of the error reply. Bounded by `maximumErrorCodes`.
    var errors: [String: Int] = [:]
    /// Filled when a copy is taken.
    var connections = 0
    var waiting = 0
    var heldBytes = 0
    var largestInput = 0
    var largestOutput = 0

    init() {}

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
        self.connections += other.connections
        self.waiting += other.waiting
        self.heldBytes += other.heldBytes
        self.largestInput = max(self.largestInput, other.largestInput)
        self.largestOutput = max(self.largestOutput, other.largestOutput)
        for (name, command) in other.commands {
            var sum = self.commands[name] ?? Command()
            sum.calls += command.calls
            sum.nanoseconds += command.nanoseconds
            sum.rejected += command.rejected
            sum.failed += command.failed
            sum.histogram.merge(command.histogram)
            self.commands[name] = sum
        }
        for (code, count) in other.errors { self.errors[code, default: 0] += count }
    }
}
