import AnnexCore
import AnnexWire
import NIOCore

/// Answers CLIENT and its subcommands.
extension ConnectionHandler {
    /// Valkey does the same: a capability that the server does not know is no error.
    func setCapabilities() {
        do throws(ArgumentFailure) { try self.request.check("capabilities", from: 2, atMost: 64) } catch {
            return self.reply.error(error)
        }
        if (2..<self.request.count).contains(where: { self.request.matches($0, "POSITION") }) {
            self.state.givesPositions = true
        }
        self.reply.status("OK")
    }

    func setLabel(_ path: WritableKeyPath<ConnectionState, String>, argument: Int) {
        do throws(ArgumentFailure) {
            self.state[keyPath: path] = try self.request.label(argument)
            self.reply.status("OK")
        } catch { self.reply.error(error) }
    }

    func setInfo() {
        if self.request.matches(2, "LIB-NAME") {
            self.setLabel(\.libName, argument: 3)
        } else if self.request.matches(2, "LIB-VER") {
            self.setLabel(\.libVer, argument: 3)
        } else {
            self.syntaxError(near: 2)
        }
    }

    func setReplyMode() {
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
    func tracking() {
        guard self.request.matches(2, "OFF") else {
            return self.reply.error(
                code: .error,
                "CLIENT TRACKING is not served: answers change with each event and each version; leave client-side caching off"
            )
        }
        self.reply.status("OK")
    }

    /// Accepts NO-EVICT and NO-TOUCH, which change nothing. The memory limit holds for every client.
    func onOff() {
        if self.request.matches(2, "OFF") || self.request.matches(2, "ON") {
            self.reply.status("OK")
        } else {
            self.syntaxError(near: 2)
        }
    }

    // MARK: Over all loops

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

    func clientList() -> Disposition {
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
        let future = self.loops.gather(on: self.loop.eventLoop) { loop in
            loop.connections.values.filter { selected?.contains($0.state.id) ?? true }
                .map { (id: $0.state.id, line: $0.listLine()) }
        }.map { lists -> ByteBuffer in
            let lines = lists.flatMap { $0 }.sorted { $0.id < $1.id }
            return shared.rendered(version) { writer in writer.verbatim(lines.map { $0.line + "\n" }.joined()) }
        }
        return self.later(future)
    }

    func clientKill() -> Disposition {
        let chosen: ClientKillArguments
        do throws(ArgumentFailure) { chosen = try ClientKillArguments(self.request, own: self.state.id) } catch {
            self.reply.error(error)
            return .done
        }
        let oneAddress = chosen.isOneAddress
        let version = self.state.respVersion
        let own = self.state.id
        let shared = self.loop.shared
        let future = self.loops.gather(on: self.loop.eventLoop) { loop -> Int in
            let victims = loop.connections.values.filter {
                chosen.selects(id: $0.state.id, address: $0.state.address, localAddress: $0.localAddress)
            }
            for victim in victims {
                if victim.state.id == own { victim.closeAfterReplies() } else { victim.closeNow() }
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
}
