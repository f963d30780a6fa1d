import AnnexWire

/// Replies that others owe a connection, in the order of its commands: what comes early waits for those before it.
struct OwedReplies {
    struct Owed {
        /// Of the command in the table.
        let position: Int
        let start: UInt64
        fileprivate(set) var write: LateReply.Writing?
    }

    private var waiting: [Owed] = []
    /// How many went out, so that each has a number of its own.
    private var gone = 0
    private var next = 0

    var count: Int { self.waiting.count - self.next }
    var isEmpty: Bool { self.count == 0 }
    /// Of the commands that are owed; all are of one.
    var company = CommandSpecification.Company.alone

    /// Returns the number to give it under.
    mutating func add(position: Int, start: UInt64, write: LateReply.Writing? = nil) -> Int {
        self.waiting.append(Owed(position: position, start: start, write: write))
        return self.gone + self.count - 1
    }

    /// Once for each number.
    mutating func give(_ number: Int, _ write: @escaping LateReply.Writing) {
        let place = self.next + number - self.gone
        guard self.waiting.indices.contains(place) else { return }
        self.waiting[place].write = write
    }

    /// The first, if it has come.
    mutating func popReady() -> Owed? {
        guard !self.isEmpty, self.waiting[self.next].write != nil else { return nil }
        let first = self.waiting[self.next]
        self.next += 1
        self.gone += 1
        if self.isEmpty {
            self.waiting.removeAll(keepingCapacity: true)
            self.next = 0
        }
        return first
    }

    mutating func removeAll() {
        self.gone += self.count
        self.waiting = []
        self.next = 0
    }
}
