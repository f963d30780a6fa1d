/// Heavy reads that wait for one shard: a line for each client, and the lines take turns, so that who asks much waits longest.
///
/// Adding, taking and removing are O(1); the links lie in the requests. Only who finds the queue full looks at all lines.
struct WaitingReads {
    private struct Line {
        let client: UInt64
        var first: Int32 = -1
        var last: Int32 = -1
        var count = 0
        /// Neighbours in the order of turns, which is a ring.
        var before: Int32 = -1
        var after: Int32 = -1
    }

    private var lines = SlotTable<Line>(reserving: 0)
    private var lineOf: [UInt64: Int32] = [:]
    /// Holds the line whose turn is next. It is -1 where nobody waits.
    private var turn: Int32 = -1
    private(set) var count = 0

    var isEmpty: Bool { self.count == 0 }

    /// Counts the waiting reads of each client.
    func count(of client: UInt64) -> Int { self.lineOf[client].map { self.lines[$0].count } ?? 0 }

    /// Adds a request at the end of its client's line, or at the front: one that had its turn and has to be sent again.
    mutating func add(_ index: Int32, first: Bool, _ requests: inout SlotTable<PendingRequest>) {
        let client = requests[index].client
        let line = self.lineOf[client] ?? self.makeLine(client)
        let neighbour = first ? self.lines[line].first : self.lines[line].last
        requests[index].line = line
        requests[index].lineBefore = first ? -1 : neighbour
        requests[index].lineAfter = first ? neighbour : -1
        if neighbour >= 0 {
            if first { requests[neighbour].lineBefore = index } else { requests[neighbour].lineAfter = index }
        }
        if first || neighbour < 0 { self.lines[line].first = index }
        if !first || neighbour < 0 { self.lines[line].last = index }
        self.lines[line].count += 1
        self.count += 1
        // It has had its turn already.
        if first { self.turn = line }
    }

    /// Returns the request whose turn is next; it stays.
    var next: Int32? { self.turn >= 0 ? self.lines[self.turn].first : nil }

    /// Takes out the request whose turn is next. The turn goes on to the next client.
    mutating func takeNext(_ requests: inout SlotTable<PendingRequest>) -> Int32? {
        guard let index = self.next else { return nil }
        self.turn = self.lines[self.turn].after
        self.remove(index, &requests)
        return index
    }

    mutating func remove(_ index: Int32, _ requests: inout SlotTable<PendingRequest>) {
        let line = requests[index].line
        let (before, after) = (requests[index].lineBefore, requests[index].lineAfter)
        if before >= 0 { requests[before].lineAfter = after } else { self.lines[line].first = after }
        if after >= 0 { requests[after].lineBefore = before } else { self.lines[line].last = before }
        requests[index].line = -1
        self.lines[line].count -= 1
        self.count -= 1
        if self.lines[line].count == 0 { self.removeLine(line) }
    }

    /// Who has to make room in a full queue: the newest of the longest line, where that is longer by two or more than the line of
    /// who comes would be without it. Nil: who comes has as much as anybody. O(lines).
    func loser(to client: UInt64) -> Int32? {
        var longest: Int32 = -1
        var most = self.count(of: client) + 1
        for line in self.lineOf.values where self.lines[line].count > most {
            (longest, most) = (line, self.lines[line].count)
        }
        return longest >= 0 ? self.lines[longest].last : nil
    }

    private mutating func makeLine(_ client: UInt64) -> Int32 {
        let (line, _) = self.lines.insert(Line(client: client))
        self.lineOf[client] = line
        guard self.turn >= 0 else {
            self.lines[line].before = line
            self.lines[line].after = line
            self.turn = line
            return line
        }
        // The line goes behind all others, so that its turn comes when each of them had one.
        let last = self.lines[self.turn].before
        self.lines[line].before = last
        self.lines[line].after = self.turn
        self.lines[last].after = line
        self.lines[self.turn].before = line
        return line
    }

    private mutating func removeLine(_ line: Int32) {
        let (before, after) = (self.lines[line].before, self.lines[line].after)
        self.lines[before].after = after
        self.lines[after].before = before
        if self.turn == line { self.turn = after == line ? -1 : after }
        self.lineOf[self.lines[line].client] = nil
        self.lines.remove(line)
    }
}
