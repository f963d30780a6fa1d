import NIOCore

/// Holds the lines that were read and are not done, in the order of the file, and knows which lane sends which.
///
/// All lines of a user go to the same lane, and a lane's lines are settled in their order. A line is done when it and all
/// before it are settled; so what `done` counts can be left out by a later run, and rejects come out in the order of the
/// file. Holds `maximumLines` lines and a little more than `maximumBytes` of text at most. O(1) each.
package struct IngestWindow {
    private struct Entry {
        let text: [UInt8]
        /// It is nil once it is settled.
        var event: IngestEvent?
        let wasEvent: Bool
        /// Says why the line was rejected.
        var reason: String?

        init(_ text: [UInt8], event: IngestEvent? = nil, reason: String? = nil) {
            (self.text, self.event, self.wasEvent, self.reason) = (text, event, event != nil, reason)
        }
    }

    /// Counts lines that are settled, and all before them; also of earlier runs.
    package private(set) var done: Int
    private let maximumLines: Int
    private let maximumBytes: Int
    private var entries = CircularBuffer<Entry>()
    private var bytes = 0
    private var lanes: [CircularBuffer<Int>]
    /// Counts among the lines done those that the server acknowledged, and those that were rejected.
    package private(set) var acknowledged = 0
    package private(set) var rejected = 0
    /// The rejects among the lines done, until the writer of their file takes them.
    package var rejects: [UInt8] = []

    package init(lanes: Int, done: Int, maximumLines: Int = 65_536, maximumBytes: Int = 16 << 20) {
        self.lanes = Array(repeating: CircularBuffer(), count: lanes)
        self.done = done
        (self.maximumLines, self.maximumBytes) = (maximumLines, maximumBytes)
    }

    package var hasRoom: Bool { self.entries.count < self.maximumLines && self.bytes < self.maximumBytes }

    package var isEmpty: Bool { self.entries.isEmpty }

    /// Returns the lane that has to send the line; nil where there is nothing to send.
    package mutating func add(_ line: IngestLine) -> Int? {
        switch line.content {
        case .event(let event):
            let lane = Int(IngestClock.hash(event.user) & 0xffff_ffff) % self.lanes.count
            self.lanes[lane].append(self.done + self.entries.count)
            self.append(Entry(line.text, event: event))
            return lane
        case .problem(let reason): self.append(Entry(line.text, reason: reason))
        case .nothing: self.append(Entry([]))
        }
        return nil
    }

    private mutating func append(_ entry: Entry) {
        self.entries.append(entry)
        self.bytes += entry.text.count
        self.advance()
    }

    /// Returns the line that a lane has to send next, in its order: the first that is not settled, or one that is
    /// `offset` behind it.
    package func event(of lane: Int, behind offset: Int = 0) -> IngestEvent? {
        let lines = self.lanes[lane]
        guard offset < lines.count else { return nil }
        return self.entry(lines[lines.index(lines.startIndex, offsetBy: offset)]).event
    }

    /// A lane's first event was stored, or rejected for a reason.
    package mutating func settle(_ lane: Int, rejection reason: String?) {
        guard let line = self.lanes[lane].popFirst() else { return }
        let index = self.entries.index(self.entries.startIndex, offsetBy: line - self.done)
        self.entries[index].event = nil
        self.entries[index].reason = reason
        self.advance()
    }

    private func entry(_ line: Int) -> Entry {
        self.entries[self.entries.index(self.entries.startIndex, offsetBy: line - self.done)]
    }

    private mutating func advance() {
        while let first = self.entries.first, first.event == nil {
            self.entries.removeFirst()
            self.bytes -= first.text.count
            self.done += 1
            guard let reason = first.reason else {
                if first.wasEvent { self.acknowledged += 1 }
                continue
            }
            self.rejected += 1
            self.rejects += Array("\(self.done)\t\(reason)\t".utf8) + first.text + [0x0a]
        }
    }
}
