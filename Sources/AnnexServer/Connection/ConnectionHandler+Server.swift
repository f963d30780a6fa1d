import AnnexCore
import AnnexWire
import NIOCore

/// Answers CONFIG, SLOWLOG and LATENCY.
extension ConnectionHandler {
    /// `OK` once `change` has run on each loop.
    private func onEachLoop(_ change: @escaping @Sendable (LoopContext) -> Void) -> Disposition {
        let version = self.state.respVersion
        let shared = self.loop.shared
        return self.later(
            self.loops.gather(on: self.loop.eventLoop, change).map { _ in shared.rendered(version) { $0.status("OK") } }
        )
    }

    // MARK: CONFIG

    func resetStatistics() -> Disposition { self.onEachLoop { $0.resetMetrics() } }

    func configGet() {
        let patterns: [GlobPattern]
        do throws(ArgumentFailure) {
            try self.request.check("patterns", from: 2, atMost: 64)
            patterns = try self.request.patterns(2..<self.request.count)
        } catch { return self.reply.error(error) }
        let shared = self.loop.shared
        let found = ServerParameters.all(shared.current)
            .filter { parameter in patterns.contains { $0.matches(parameter.0) } }
        self.reply.map(found.count)
        for (name, value) in found {
            self.reply.bulk(name)
            self.reply.bulk(value)
        }
    }

    func configSet() {
        guard self.request.count % 2 == 0 else {
            return self.reply.error(
                .wrongArity(ConnectionCommand.configSet.rawValue)
            )
        }
        do throws(ArgumentFailure) {
            try self.request.check("parameters", from: 2, atMost: 64, width: 2)
        } catch { return self.reply.error(error) }
        var pairs: [(name: String, value: String)] = []
        for index in stride(from: 2, to: self.request.count, by: 2) {
            // What cannot be a parameter's name is none that is known.
            let name = self.request.name(index) ?? self.request.printable(index)
            guard let value = self.request.text(index + 1, atMost: 1_024) else {
                return self.reply.error(
                    code: .error,
                    "CONFIG SET failed (possibly related to argument '\(Printable.escape(name))') - the value has more than 1024 bytes"
                )
            }
            pairs.append((name, value))
        }
        guard let failed = self.loops.change(pairs) else { return self.reply.status("OK") }
        let name = Printable.escape(failed.name)
        switch failed.change {
        case .invalid(let why):
            self.reply.error(code: .error, "CONFIG SET failed (possibly related to argument '\(name)') - \(why)")
        case .fixed:
            self.reply.error(code: .error, "CONFIG SET failed - '\(name)' can only be set when the server starts")
        case .unknown, .changed:
            self.reply.error(code: .error, "Unknown option or number of arguments for CONFIG SET - '\(name)'")
        }
    }

    // MARK: SLOWLOG

    func slowlog() -> Disposition {
        var limit = 10
        if self.request.count > 2 {
            guard let number = self.request.integer(2), number >= -1 else {
                self.reply.error(code: .error, "count should be greater than or equal to -1")
                return .done
            }
            limit = number == -1 ? Int.max : number
        }
        let wanted = limit
        let version = self.state.respVersion
        let shared = self.loop.shared
        return self.later(
            self.loops.gather(on: self.loop.eventLoop) { loop in loop.slowlog.entries }.map { lists in
                let newest = lists.flatMap { $0 }.sorted { $0.id > $1.id }.prefix(
                    min(wanted, shared.current.slowlogLength)
                )
                return shared.rendered(version) { writer in Self.write(newest, &writer) }
            }
        )
    }

    func slowlogLength() -> Disposition {
        let version = self.state.respVersion
        let shared = self.loop.shared
        return self.later(
            self.loops.gather(on: self.loop.eventLoop) { loop in loop.slowlog.entries.count }.map { counts in
                let count = min(counts.reduce(0, +), shared.current.slowlogLength)
                return shared.rendered(version) { $0.integer(count) }
            }
        )
    }

    func resetSlowlog() -> Disposition { self.onEachLoop { $0.slowlog.reset() } }

    private static func write(_ entries: some Collection<Slowlog.Entry>, _ writer: inout ReplyWriter) {
        writer.array(entries.count)
        for entry in entries {
            writer.array(6)
            writer.integer(entry.id)
            writer.integer(entry.time)
            writer.integer(entry.microseconds)
            writer.array(entry.arguments.count)
            for argument in entry.arguments { writer.bulk(argument) }
            writer.bulk(entry.address)
            writer.bulk(entry.name)
        }
    }

    // MARK: LATENCY

    func latencyHistogram() -> Disposition {
        do throws(ArgumentFailure) { try self.request.check("names", from: 2, atMost: 256) } catch {
            self.reply.error(error)
            return .done
        }
        let names = Set((2..<self.request.count).map { self.request.name($0) ?? "" })
        let version = self.state.respVersion
        let shared = self.loop.shared
        let table = shared.table
        return self.later(
            self.loops.gather(on: self.loop.eventLoop) { loop in loop.snapshot() }.map { copies in
                let commands = LoopMetrics.sum(copies, of: table).named(in: table) { $0.calls > 0 }
                    .filter { names.isEmpty || names.contains($0.name) }
                return shared.rendered(version) { writer in Self.write(commands, &writer) }
            }
        )
    }

    private static func write(_ commands: [(name: String, command: LoopMetrics.Command)], _ writer: inout ReplyWriter) {
        writer.map(commands.count)
        for (name, command) in commands {
            writer.bulk(name)
            writer.map(2)
            writer.bulk("calls")
            writer.integer(command.calls)
            writer.bulk("histogram_usec")
            let buckets = command.histogram.cumulativeMicroseconds()
            writer.map(buckets.count)
            for (bound, count) in buckets {
                writer.integer(bound)
                writer.integer(count)
            }
        }
    }
}
