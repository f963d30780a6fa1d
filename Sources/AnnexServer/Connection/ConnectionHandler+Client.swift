import AnnexCore
import AnnexWire
import NIOCore

/// CLIENT and its subcommands.
extension ConnectionHandler {
    func client() -> Disposition {
        let request = self.request
        if request.matches(1, "ID") {
            self.reply.integer(Int(clamping: self.state.id))
        } else if request.matches(1, "GETNAME") {
            if self.state.name.isEmpty { self.reply.null() } else { self.reply.bulk(self.state.name) }
        } else if request.matches(1, "SETNAME") {
            self.setLabel(\.name, argument: 2)
        } else if request.matches(1, "SETINFO") {
            self.setInfo()
        } else if request.matches(1, "INFO") {
            self.reply.verbatim(self.listLine() + "\n")
        } else if request.matches(1, "LIST") {
            return self.clientList()
        } else if request.matches(1, "KILL") {
            return self.clientKill()
        } else if request.matches(1, "REPLY") {
            self.setReplyMode()
        } else if request.matches(1, "CAPA") {
            // As in Valkey: a capability that the server does not know is no error.
            if (2..<request.count).contains(where: { request.matches($0, "POSITION") }) {
                self.state.givesPositions = true
            }
            self.reply.status("OK")
        } else if request.matches(1, "TRACKING") {
            self.tracking()
        } else if request.matches(1, "NO-TOUCH") {
            self.onOff()
        } else if request.matches(1, "NO-EVICT") {
            self.onOff()
        } else {
            self.unknownSubcommand("CLIENT")
        }
        return .done
    }

    private func setLabel(_ path: WritableKeyPath<ConnectionState, String>, argument: Int) {
        guard self.request.count > argument, let label = self.label(argument) else {
            return self.reply.error(code: .error, Self.badLabel)
        }
        self.state[keyPath: path] = label
        self.reply.status("OK")
    }

    private func setInfo() {
        guard self.request.count == 4 else { return self.wrongArity("client|setinfo") }
        if self.request.matches(2, "LIB-NAME") {
            self.setLabel(\.libName, argument: 3)
        } else if self.request.matches(2, "LIB-VER") {
            self.setLabel(\.libVer, argument: 3)
        } else {
            self.syntaxError(near: 2)
        }
    }

    private func setReplyMode() {
        guard self.request.count == 3 else { return self.wrongArity("client|reply") }
        if self.request.matches(2, "ON") {
            self.outbound.mode = .on
            self.reply.status("OK")
        } else if self.request.matches(2, "OFF") {
            self.outbound.mode = .off
        } else if self.request.matches(2, "SKIP") {
            if self.outbound.mode != .off { self.outbound.mode = .skipNext }
        } else {
            self.syntaxError(near: 2)
        }
    }

    /// Client-side caching would need news of each change of each answer: it is refused, and off already.
    private func tracking() {
        guard self.request.matches(2, "OFF") else {
            return self.reply.error(
                code: .error,
                "CLIENT TRACKING is not served: answers change with each event and each version; leave client-side caching off"
            )
        }
        self.reply.status("OK")
    }

    /// NO-EVICT and NO-TOUCH: accepted, nothing changes. The memory limit holds for every client.
    private func onOff() {
        guard self.request.count == 3 else { return self.wrongArity("client") }
        if self.request.matches(2, "OFF") || self.request.matches(2, "ON") {
            self.reply.status("OK")
        } else {
            self.syntaxError(near: 2)
        }
    }

    // MARK: Over all loops

    /// One line of CLIENT LIST, without the line end.
    func listLine() -> String {
        let now = NIODeadline.now()
        let age = (now - self.clock.connectedAt).nanoseconds / 1_000_000_000
        let command = self.lastCommand.map { self.loop.shared.table.specifications[$0].name } ?? "NULL"
        let idle = (now - self.clock.lastActive).nanoseconds / 1_000_000_000
        return "id=\(self.state.id) addr=\(self.state.address) laddr=\(self.localAddress) fd=0 name=\(self.state.name) "
            + "age=\(age) idle=\(idle) flags=N db=0 sub=0 psub=0 ssub=0 multi=\(self.machine.transaction.count ?? -1) qbuf=\(self.held.input) qbuf-free=0 "
            + "obl=0 oll=0 omem=\(self.held.output) tot-mem=\(self.held.total) events=r cmd=\(command) user=default "
            + "redir=-1 resp=\(self.state.respVersion.rawValue) lib-name=\(self.state.libName) "
            + "lib-ver=\(self.state.libVer) loop=\(self.loop.index)"
    }

    private func clientList() -> Disposition {
        let request = self.request
        var wanted: Set<UInt64>?
        if request.count > 2 {
            if request.matches(2, "TYPE"), request.count == 4 {
                guard request.matches(3, "NORMAL") else {
                    self.reply.verbatim("")
                    return .done
                }
            } else if request.matches(2, "ID"), request.count > 3 {
                var ids: Set<UInt64> = []
                for index in 3..<request.count {
                    guard let id = request.integer(index), let positive = UInt64(exactly: id) else {
                        self.reply.error(code: .error, "Invalid client ID")
                        return .done
                    }
                    ids.insert(positive)
                }
                wanted = ids
            } else {
                self.syntaxError(near: 2)
                return .done
            }
        }
        let version = self.state.respVersion
        let selected = wanted
        let shared = self.loop.shared
        let future = shared.gather(on: self.loop.eventLoop) { loop in
            loop.connections.values.filter { selected?.contains($0.state.id) ?? true }
                .map { (id: $0.state.id, line: $0.listLine()) }
        }.map { lists -> ByteBuffer in
            let lines = lists.flatMap { $0 }.sorted { $0.id < $1.id }
            return shared.rendered(version) { writer in writer.verbatim(lines.map { $0.line + "\n" }.joined()) }
        }
        return self.later(future)
    }

    private struct KillFilter: Sendable {
        var id: UInt64?
        var address: String?
        var localAddress: String?
        var skipID: UInt64?

        func selects(_ connection: ConnectionHandler) -> Bool {
            if let id, connection.state.id != id { return false }
            if let address, connection.state.address != address { return false }
            if let localAddress, connection.localAddress != localAddress { return false }
            return connection.state.id != self.skipID
        }
    }

    private func clientKill() -> Disposition {
        guard self.request.count > 2 else {
            self.wrongArity("client|kill")
            return .done
        }
        var filter = KillFilter()
        let oneAddress = self.request.count == 3
        if oneAddress {
            filter.address = self.request.string(2)
        } else {
            filter.skipID = self.state.id
            var index = 2
            while index < self.request.count {
                guard index + 1 < self.request.count, self.fill(&filter, at: index) else {
                    self.syntaxError(near: index)
                    return .done
                }
                index += 2
            }
        }
        let version = self.state.respVersion
        let own = self.state.id
        let chosen = filter
        let shared = self.loop.shared
        let future = shared.gather(on: self.loop.eventLoop) { loop -> Int in
            let victims = loop.connections.values.filter(chosen.selects)
            for victim in victims {
                if victim.state.id == own { victim.machine.finishAfterReplies() } else { victim.closeNow() }
            }
            return victims.count
        }.map { counts -> ByteBuffer in
            let killed = counts.reduce(0, +)
            return shared.rendered(version) { writer in
                if !oneAddress {
                    writer.integer(killed)
                } else if killed > 0 {
                    writer.status("OK")
                } else {
                    writer.error(code: .error, "No such client")
                }
            }
        }
        return self.later(future)
    }

    private func fill(_ filter: inout KillFilter, at index: Int) -> Bool {
        if self.request.matches(index, "ID") {
            guard let number = self.request.integer(index + 1), let id = UInt64(exactly: number) else { return false }
            filter.id = id
        } else if self.request.matches(index, "ADDR") {
            filter.address = self.request.string(index + 1)
        } else if self.request.matches(index, "LADDR") {
            filter.localAddress = self.request.string(index + 1)
        } else if self.request.matches(index, "SKIPME") {
            if self.request.matches(index + 1, "NO") {
                filter.skipID = nil
            } else if !self.request.matches(index + 1, "YES") {
                return false
            }
        } else {
            return false
        }
        return true
    }
}
