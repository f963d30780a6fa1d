package import AnnexCore
import AnnexWire

/// Describes the streams of one index: their names, what is asked of them, and what their answers mean.
package struct LogStreams: Sendable {
    /// Names of the streams, by block. In a Redis Cluster all lie in one slot, as the index's name is their hash tag.
    package let keys: [[UInt8]]
    /// Holds the log's id.
    package let identityKey: [UInt8]

    /// - Parameter prefix: what all keys of one cluster begin with.
    package init(index: EntryName, prefix: String = LogAddress.standardPrefix) {
        self.keys = (0..<Slot.blockCount).map { block in
            Array("\(prefix):{\(index)}:events:\(block < 10 ? "0" : "")\(block)".utf8)
        }
        self.identityKey = Array("\(prefix):{\(index)}:id".utf8)
    }

    // MARK: The log's id

    package var askIdentity: [[UInt8]] { [Array("GET".utf8), self.identityKey] }

    func claim(_ identity: LogIdentity) -> [[UInt8]] {
        [Array("SET".utf8), self.identityKey, Array("\(identity)".utf8), Array("NX".utf8)]
    }

    /// Reads the answer to `askIdentity`. Returns nil where the log has no id yet.
    ///
    /// - Throws: where the answer makes no sense, with what is wrong.
    static func identity(_ reply: ReplyValue) throws(RedisFailure) -> LogIdentity? {
        if case .null = reply { return nil }
        if case .error(let text) = reply {
            throw RedisFailure(text: "asked for its id it answered: \(Printable.escape(text, limit: 200))")
        }
        guard case .bulk(let text) = reply, let identity = LogIdentity(text) else {
            let text = Printable.escape(reply.text ?? "nothing", limit: 100)
            throw RedisFailure(text: "the key of its id holds '\(text)', which is none")
        }
        return identity
    }

    func append(_ block: Int, _ fields: [[UInt8]]) -> [[UInt8]] { [Self.xadd, self.keys[block], Self.star] + fields }

    private static let xadd = Array("XADD".utf8)
    private static let star = Array("*".utf8)

    /// Waits at most `milliseconds`.
    func read(_ blocks: [(block: Int, after: LogPosition)], count: Int, milliseconds: Int64) -> [[UInt8]] {
        ["XREAD", "COUNT", "\(count)", "BLOCK", "\(milliseconds)", "STREAMS"].map { Array($0.utf8) }
            + blocks.map { self.keys[$0.block] } + blocks.map { Array("\($0.after)".utf8) }
    }

    /// The entries that an answer has of each stream.
    struct Entries {
        var streams: [(block: Int, entries: [(position: LogPosition, fields: [ReplyValue])])] = []
        /// There were more than are kept of one answer: the others are to be asked for again.
        var isCut = false
    }

    /// Returns nil where the answer makes no sense.
    func entries(_ reply: ReplyValue) -> Entries? {
        if case .null = reply { return Entries() }
        guard case .array(let streams) = reply else { return nil }
        var found = Entries()
        for stream in streams {
            if case .cut = stream {
                found.isCut = true
                break
            }
            guard let pair = stream.elements, let name = pair.first else { return nil }
            if case .cut = pair.last {
                found.isCut = true
                break
            }
            guard pair.count == 2, case .bulk(let key) = name, let block = self.keys.firstIndex(of: key),
                let raw = pair[1].elements
            else { return nil }
            var entries: [(LogPosition, [ReplyValue])] = []
            entries.reserveCapacity(raw.count)
            for entry in raw {
                if Self.isCut(entry) {
                    found.isCut = true
                    // One that is too large where it stands first is so everywhere, and is no change.
                    guard entries.isEmpty, found.streams.isEmpty, let id = entry.elements?.first?.text,
                        let position = LogPosition(id.utf8)
                    else { break }
                    entries.append((position, []))
                    break
                }
                guard let parts = entry.elements, parts.count == 2, case .bulk(let id) = parts[0],
                    let position = LogPosition(id)
                else { return nil }
                entries.append((position, parts[1].elements ?? []))
            }
            found.streams.append((block, entries))
            if found.isCut { break }
        }
        return found
    }

    private static func isCut(_ entry: ReplyValue) -> Bool {
        if case .cut = entry { return true }
        guard let last = entry.elements?.last else { return false }
        if case .cut = last { return true }
        if case .cut = last.elements?.last { return true }
        return false
    }

    // MARK: Checks

    /// Tells whether a stream still has what was read of it; two commands.
    func check(_ block: Int, _ position: LogPosition) -> [[[UInt8]]] {
        let id = Array("\(position)".utf8)
        return [
            [Array("XINFO".utf8), Array("STREAM".utf8), self.keys[block]],
            [Array("XRANGE".utf8), self.keys[block], id, id],
        ]
    }

    /// Reads the answers to `check`. Returns nil where they make no sense.
    static func facts(_ block: Int, _ mark: LogMark, _ info: ReplyValue, _ range: ReplyValue) -> StreamFacts? {
        var facts = StreamFacts(block: block, mark: mark)
        if case .error(let text) = info { return text.lowercased().contains("no such key") ? facts : nil }
        guard var fields = info.elements, let range = range.elements else { return nil }
        if case .cut = fields.last {
            // Behind what is asked for stand the first and the last entry, which may be of any size.
            fields.removeLast(fields.count % 2 == 0 ? 2 : 1)
        }
        guard fields.count % 2 == 0 else { return nil }
        facts.exists = true
        facts.hasEntry = !range.isEmpty
        var last: LogPosition?
        var added: UInt64?
        for index in stride(from: 0, to: fields.count, by: 2) {
            let value = fields[index + 1]
            switch fields[index].text {
            case "last-generated-id": last = value.text.flatMap { LogPosition($0.utf8) }
            case "max-deleted-entry-id": facts.maxDeleted = value.text.flatMap { LogPosition($0.utf8) } ?? .start
            case "entries-added":
                if case .integer(let number) = value { added = UInt64(exactly: number) }
            case "length":
                if case .integer(let number) = value { facts.length = UInt64(clamping: number) }
            case "recorded-first-entry-id":
                facts.first = value.text.flatMap { LogPosition($0.utf8) }.flatMap { $0 > .start ? $0 : nil }
            default: break
            }
        }
        // Redis before 7.0 does not count, and cannot tell what was trimmed.
        guard let last, let added else { return nil }
        facts.last = last
        facts.added = added
        return facts
    }
}
