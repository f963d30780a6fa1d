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
        let count = self.settings.replication.readCount
        let words = self.streams.read(blocks, count: count, milliseconds: self.settings.readMilliseconds)
        self.links?.read(words) { reply in
            if case .error(let text) = reply { return self.links?.close(text) ?? () }
            guard let found = self.streams.entries(reply) else {
                return self.links?.close("its answer to XREAD makes no sense") ?? ()
            }
            let entries = found.map { stream in
                (stream.block, stream.entries.map { self.entry($0.position, $0.fields, stream.block) })
            }
            self.handle(.read(number: number, entries))
            self.links?.flush()
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
