import AnnexCore
import AnnexWire
import NIOCore

/// The commands that concern the connection itself. Arity has been checked against the table.
extension ConnectionHandler {
    func connectionCommand(_ id: ConnectionCommand) -> Disposition {
        let table = self.loop.shared.table
        switch id {
        case .hello: return self.hello()
        case .auth: return self.auth()
        case .info: return self.info()
        case .clientList: return self.clientList()
        case .clientKill: return self.clientKill()
        case .configResetStatistics: return self.resetStatistics()
        case .slowlogGet: return self.slowlog()
        case .slowlogLength: return self.slowlogLength()
        case .slowlogReset: return self.resetSlowlog()
        case .latencyHistogram: return self.latencyHistogram()
        case .quit:
            self.reply.status("OK")
            return .close
        case .ping: if self.request.count == 1 { self.reply.status("PONG") } else { self.echoArgument(1) }
        case .echo: self.echoArgument(1)
        case .reset: self.reset()
        case .select: self.select()
        case .readonly, .readwrite, .asking: self.reply.status("OK")
        case .deadline: self.deadline()
        case .role: self.role()
        case .multi: self.multi()
        case .exec: self.exec()
        case .discard: self.discard()
        case .watch: self.watch()
        case .clientID: self.reply.integer(Int(clamping: self.state.id))
        case .clientGetName: if self.state.name.isEmpty { self.reply.null() } else { self.reply.bulk(self.state.name) }
        case .clientSetName: self.setLabel(\.name, argument: 2)
        case .clientSetInfo: self.setInfo()
        case .clientInfo: self.reply.verbatim(self.listLine() + "\n")
        case .clientReply: self.setReplyMode()
        case .clientCapabilities: self.setCapabilities()
        case .clientTracking: self.tracking()
        case .clientNoTouch, .clientNoEvict: self.onOff()
        case .command: table.writeInfo(&self.reply)
        case .commandCount: self.reply.integer(table.specifications.count)
        case .commandList: table.writeNames(&self.reply)
        case .commandInfo: table.writeInfo(of: self.request, &self.reply)
        case .commandDocs: table.writeDocs(of: self.request, &self.reply)
        case .commandGetKeys: table.writeKeys(self.request, withFlags: false, &self.reply)
        case .commandGetKeysAndFlags: table.writeKeys(self.request, withFlags: true, &self.reply)
        case .configGet: self.configGet()
        case .configSet: self.configSet()
        case .latencyLatest: self.reply.array(0)
        case .latencyReset: self.reply.integer(0)
        case .aclWhoAmI: self.reply.bulk("default")
        case .clusterKeySlot: self.keySlot()
        case .clusterMyID: self.reply.bulk(self.loop.cluster?.own.nodeID ?? self.loop.shared.runID)
        case .clusterInfo: self.clusterInfo()
        case .clusterNodes: self.clusterAnswer { $1.verbatim($0.nodes) }
        case .clusterShards: self.clusterAnswer { $0.writeShards(&$1) }
        case .clusterSlots: self.clusterAnswer { $0.writeSlots(&$1) }
        }
        return .done
    }

    // MARK: Helpers

    func echoArgument(_ index: Int) {
        self.request.withArgument(index) { bytes in self.reply.bulk(bytes) }
    }

    func syntaxError(near index: Int) { self.reply.error(.syntax(self.request, near: index)) }

    /// The reply's bytes come from other loops or from a timer; the future completes on this loop.
    func later(_ bytes: EventLoopFuture<ByteBuffer>) -> Disposition {
        let version = self.state.respVersion
        let shared = self.loop.shared
        return .pending(bytes: 0) { promise in
            bytes.assumeIsolated().whenComplete { result in
                switch result {
                case .success(let bytes): promise.fulfilNow(bytes)
                case .failure:
                    promise.fulfilNow(
                        shared.rendered(version) { $0.error(code: .error, "the server is shutting down") }
                    )
                }
            }
        }
    }

    // MARK: Simple ones

    private func select() {
        guard let index = self.request.integer(1) else {
            return self.reply.error(code: .error, "value is not an integer or out of range")
        }
        guard index == 0 else { return self.reply.error(code: .error, "DB index is out of range") }
        self.reply.status("OK")
    }

    private func deadline() {
        do throws(ArgumentFailure) {
            self.nextDeadline = try self.request.time(1, "DEADLINE")
            self.reply.status("OK")
        } catch { self.reply.error(error) }
    }

    private func reset() {
        self.state.name = ""
        self.state.respVersion = .two
        self.state.givesPositions = false
        self.outbound.mode = .on
        self.machine.transaction = Transaction()
        if self.loop.shared.configuration.passwordHash != nil {
            self.state.authenticated = false
            self.clock.unauthenticatedSince = .now()
            self.authenticationChanged()
        }
        self.reply.version = .two
        self.reply.status("RESET")
    }

    /// As a Redis answers that has no replicas of its own: each server here takes what it is asked.
    private func role() {
        self.reply.array(3)
        self.reply.bulk("master")
        self.reply.integer(0)
        self.reply.array(0)
    }
}
