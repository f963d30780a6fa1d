import AnnexCore
import AnnexLog

/// What clients change: which event it is stands for its content.
struct SimChange: Sendable {
    let id: Int
    let slot: Int
    /// Applied a second time it changes nothing.
    let isIdempotent: Bool
}

/// Sixteen streams that keep what they confirmed, and nothing that they did not have.
final class SimLog {
    typealias Entry = (position: LogPosition, entry: LogEntry<SimChange>)

    private struct Reader {
        let link: SimLink
        let number: UInt64
        let positions: [(block: Int, after: LogPosition)]
        let answer: ([(block: Int, entries: ArraySlice<Entry>)]) -> Void
    }

    static let identity = LogIdentity(high: 1, low: 2)

    let clock: SimClock
    /// What was appended and not lost, what was trimmed since included.
    private(set) var streams = [[Entry]](repeating: [], count: Slot.blockCount)
    /// How many of a stream are trimmed away, from its start.
    private var trimmed = [Int](repeating: 0, count: Slot.blockCount)
    /// Changes that it had and has no more.
    private(set) var lost: Set<Int> = []
    private(set) var isUp = true
    private var links: [SimLink] = []
    private var readers: [Reader] = []
    private var reads: UInt64 = 0
    /// A read that finds nothing is answered after so long.
    private let patience = milliseconds(200)

    /// Entries of one stream in one answer.
    let answerLimit: Int

    init(_ clock: SimClock, answerLimit: Int) {
        self.clock = clock
        self.answerLimit = answerLimit
    }

    func accept(_ link: SimLink) -> Bool {
        guard self.isUp else { return false }
        self.links.removeAll { !$0.isOpen }
        self.links.append(link)
        return true
    }

    /// The process ends; its disk stays.
    func stop() {
        self.isUp = false
        self.readers = []
        for link in self.links { link.closeByServer() }
        self.links = []
    }

    func start() { self.isUp = true }

    func append(_ entry: LogEntry<SimChange>) -> LogPosition {
        let last = self.streams[entry.block].last?.position ?? .start
        let time = UInt64(self.clock.milliseconds)
        let position = LogPosition(
            milliseconds: max(time, last.milliseconds),
            sequence: time > last.milliseconds ? 0 : last.sequence + 1
        )
        self.streams[entry.block].append((position, entry))
        let waiting = self.readers.filter { $0.positions.contains { $0.block == entry.block } }
        self.readers.removeAll { $0.positions.contains { $0.block == entry.block } }
        for reader in waiting { self.answer(reader) }
        return position
    }

    /// Answers when there is something, or after a while.
    func read(
        _ positions: [(block: Int, after: LogPosition)],
        _ link: SimLink,
        _ answer: @escaping ([(block: Int, entries: ArraySlice<Entry>)]) -> Void
    ) {
        self.reads += 1
        let number = self.reads
        let reader = Reader(link: link, number: number, positions: positions, answer: answer)
        if positions.contains(where: { !self.entries($0.block, after: $0.after).isEmpty }) {
            return self.answer(reader)
        }
        self.readers.append(reader)
        self.clock.after(self.patience) { [self] in
            guard let position = self.readers.firstIndex(where: { $0.number == number }) else { return }
            self.answer(self.readers.remove(at: position))
        }
    }

    private func answer(_ reader: Reader) {
        // As of now, not as of when it arrives.
        let found = reader.positions.map {
            ($0.block, self.entries($0.block, after: $0.after).prefix(self.answerLimit))
        }
        let answer = reader.answer
        reader.link.toClient { answer(found.filter { !$0.1.isEmpty }) }
    }

    private func entries(_ block: Int, after position: LogPosition) -> ArraySlice<Entry> {
        var (low, high) = (0, self.streams[block].count)
        while low < high {
            let middle = (low + high) / 2
            if self.streams[block][middle].position > position { high = middle } else { low = middle + 1 }
        }
        return self.streams[block][max(low, self.trimmed[block])...]
    }

    /// Trims all up to a position, that one excepted, as `XTRIM MINID` does. Returns how many entries went.
    func trim(_ block: Int, before position: LogPosition) -> Int {
        var count = self.trimmed[block]
        while count < self.streams[block].count, self.streams[block][count].position < position { count += 1 }
        defer { self.trimmed[block] = count }
        return count - self.trimmed[block]
    }

    /// Its disk comes back as it was before the last entries of a stream. Returns how many are gone.
    func lose(_ block: Int, last count: Int) -> Int {
        let gone = self.streams[block].suffix(count)
        for entry in gone { self.lost.insert(entry.entry.change.id) }
        self.streams[block].removeLast(gone.count)
        self.trimmed[block] = min(self.trimmed[block], self.streams[block].count)
        return gone.count
    }

    /// Whether it has the change, and has had it all the time.
    func holds(_ change: SimChange) -> Bool {
        self.streams[Slot.block(of: change.slot)].contains {
            $0.entry.change.id == change.id && !$0.position.isBehind($0.entry.until)
        }
    }

    /// Entries behind a place that were there before a time, in milliseconds.
    func unread(_ block: Int, behind mark: LogPosition, before time: Int64) -> Int {
        self.streams[block].reversed().prefix { $0.position > mark }
            .count { Int64(clamping: $0.position.milliseconds) < time }
    }

    func facts(_ block: Int, _ mark: LogMark) -> StreamFacts {
        var facts = StreamFacts(block: block, mark: mark)
        guard let last = self.streams[block].last else { return facts }
        facts.exists = true
        facts.last = last.position
        facts.added = UInt64(self.streams[block].count)
        facts.length = UInt64(self.streams[block].count - self.trimmed[block])
        facts.first = self.streams[block].dropFirst(self.trimmed[block]).first?.position
        let behind = self.entries(block, after: mark.position).startIndex
        // `XTRIM` leaves max-deleted-entry-id as it is; only `XDEL` moves it.
        facts.hasEntry = behind > self.trimmed[block] && self.streams[block][behind - 1].position == mark.position
        return facts
    }
}
