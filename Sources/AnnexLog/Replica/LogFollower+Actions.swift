import AnnexCore
import AnnexStore
import AnnexWire
import Logging

/// Carries out the machine's actions, as commands to the log and changes of the state. Everything here runs on the
/// loop.
extension LogFollower {
    func append(_ entry: LogEntry<StateChange>) {
        let sequence = entry.key.sequence
        self.links?.append(self.streams.append(entry.block, EntryCodec.fields(of: entry))) { reply in
            if case .bulk(let id) = reply, let position = LogPosition(id) {
                self.handle(.appended(sequence: sequence, position))
            } else if case .error(let text) = reply {
                self.handle(.rejected(sequence: sequence, text))
                // It is no longer, or not yet, where entries go.
                if ["READONLY", "LOADING", "NOAUTH", "MASTERDOWN"].contains(where: { text.hasPrefix($0) }) {
                    self.links?.close(text)
                }
            } else {
                self.links?.close("its answer to XADD makes no sense")
            }
        }
    }

    func read(_ number: UInt64, _ blocks: [(block: Int, after: LogPosition)]) {
        let (count, most) = (self.readCount, self.settings.replication.readCount)
        // Where an answer is cut the last streams have nothing in it: so each is the first one in turn.
        let first = blocks.isEmpty ? 0 : Int(number % UInt64(blocks.count))
        let blocks = Array(blocks[first...] + blocks[..<first])
        let words = self.streams.read(blocks, count: count, milliseconds: self.settings.readMilliseconds)
        self.links?.read(words) { reply in
            if case .error(let text) = reply { return self.links?.close(text) ?? () }
            guard let found = self.streams.entries(reply) else {
                return self.links?.close("its answer to XREAD makes no sense") ?? ()
            }
            // Where entries are large, most of what would come is not kept.
            let received = found.streams.reduce(0) { $0 + $1.entries.count }
            self.readCount = found.isCut ? max(1, min(count, received) / 2) : min(most, count * 2)
            let isWhole = !found.isCut && found.streams.allSatisfy { $0.entries.count < count }
            var bytes = 0
            let entries = found.streams.map { stream in
                let entries = stream.entries.map { raw in
                    let entry = self.entry(raw.position, raw.fields, stream.block)
                    if entry.content != nil { bytes += Self.bytes(of: raw.fields) }
                    return entry
                }
                return (stream.block, entries)
            }
            self.handle(.read(number: number, entries, bytes: bytes, isWhole: isWhole))
            self.links?.flush()
        }
    }

    /// An estimate from above of what a change of these fields holds.
    private static func bytes(of fields: [ReplyValue]) -> Int {
        fields.reduce(0) { sum, field in
            guard case .bulk(let bytes) = field else { return sum }
            return sum + bytes.count + 64
        }
    }

    private func entry(_ position: LogPosition, _ fields: [ReplyValue], _ block: Int) -> ReadEntry<StateChange> {
        switch self.codec.decode(fields, block: block) {
        case .entry(let entry): return ReadEntry(position: position, content: entry)
        case .foreign: return ReadEntry(position: position, content: nil)
        case .unknown:
            self.passedOver.count(unknownAt: position, block: block)
            return ReadEntry(position: position, content: nil)
        case .outsideLimits:
            self.passedOver.count(outsideLimitsAt: position, block: block)
            return ReadEntry(position: position, content: nil)
        }
    }

    func apply(_ batch: ApplyBatch<StateChange>) {
        var after = batch.after
        let changes = batch.entries.map { entry in
            defer { after = entry.position }
            return LoggedChange(
                block: batch.block,
                after: after,
                position: entry.position,
                change: entry.content?.change
            )
        }
        let keys = batch.entries.map { $0.content?.key }
        self.store.submit(changes) { index, result in
            self.post(.stored(block: batch.block, key: keys[index], result))
        }
    }

    /// Gives the log an id, unless it has one; whose it is then, the next check tells.
    func claim(_ identity: LogIdentity) {
        self.links?.append(self.streams.claim(identity)) { _ in }
        self.links?.flush()
    }

    func check(_ number: UInt64, _ marks: [(block: Int, mark: LogMark)]) {
        guard let links else { return }
        var facts: [StreamFacts] = []
        var identity: LogIdentity?
        links.append(self.streams.askIdentity) { reply in
            do throws(RedisFailure) { identity = try LogStreams.identity(reply) } catch { links.close("\(error)") }
        }
        let before = WallClock.milliseconds()
        links.append([Array("TIME".utf8)]) { reply in
            guard let parts = reply.elements, parts.count == 2, let seconds = parts[0].text.flatMap({ Int64($0) }),
                let micros = parts[1].text.flatMap({ Int64($0) }), (0..<(1 << 40)).contains(seconds)
            else { return }
            // The clock is taken for that of the middle between asking and the answer.
            self.clockAhead = seconds * 1_000 + micros / 1_000 - (before + WallClock.milliseconds()) / 2
        }
        for (block, mark) in marks {
            var info = ReplyValue.null
            let commands = self.streams.check(block, mark.position)
            links.append(commands[0]) { info = $0 }
            links.append(commands[1]) { range in
                guard let fact = LogStreams.facts(block, mark, info, range) else {
                    let text = info.text ?? range.text ?? "no sense"
                    return links.close(
                        "its answer about \(String(decoding: self.streams.keys[block], as: UTF8.self)): \(text)"
                    )
                }
                facts.append(fact)
                if facts.count == marks.count { self.handle(.checked(number: number, facts, log: identity)) }
            }
        }
        links.flush()
    }
}
