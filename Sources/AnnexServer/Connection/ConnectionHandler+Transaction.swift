import AnnexCore
import AnnexWire

/// Answers MULTI, EXEC and DISCARD, and keeps the commands between them.
extension ConnectionHandler {
    /// Keeps the present command for EXEC, where one is to come. False: it runs now.
    func isKept(_ found: CommandSpecification) -> Bool {
        guard self.machine.transaction.isGathering else { return false }
        switch found.inTransaction {
        case .runs: return false
        case .begins: self.refuseInTransaction("MULTI calls can not be nested")
        case .refused: self.refuseInTransaction("'\(found.name)' is not allowed behind MULTI: send it before")
        case .kept: self.keep(found)
        }
        return true
    }

    private func keep(_ found: CommandSpecification) {
        guard self.loop.shared.hasRoom(for: self.request.heldBytes) else {
            self.machine.transaction.refused()
            self.reply.error(code: .overloaded, "all clients together hold too much; try again in a moment")
            return
        }
        do throws(ArgumentFailure) {
            try self.machine.transaction.keep(
                self.request,
                isChange: found.change != nil,
                byteLimit: self.loop.shared.configuration.limits.commandBytes
            )
            self.reply.status("QUEUED")
        } catch {
            self.machine.transaction.refused()
            self.reply.error(error)
        }
    }

    private func refuseInTransaction(_ text: String) {
        self.machine.transaction.refused()
        self.reply.error(code: .error, text)
    }

    func multi() {
        self.machine.transaction.begin()
        self.reply.status("OK")
    }

    func discard() {
        guard self.machine.transaction.isGathering else {
            return self.reply.error(code: .error, "DISCARD without MULTI")
        }
        self.machine.transaction = Transaction()
        self.reply.status("OK")
    }

    func watch() {
        self.reply.error(
            code: .error,
            "WATCH is not supported: the changes of one EXEC are stored together, and nothing is compared before"
        )
    }

    /// Writes the head of the array; the replies of the kept commands follow it, as each is made in its turn.
    func exec() {
        guard self.machine.transaction.isGathering else {
            return self.reply.error(code: .error, "EXEC without MULTI")
        }
        let transaction = self.machine.transaction
        self.machine.transaction = Transaction()
        guard !transaction.isBroken else {
            return self.reply.error(code: .execAbort, "Transaction discarded because of previous errors.")
        }
        // Another shard may have become theirs since.
        for request in transaction.requests where self.isMisdirected(request) { return }
        let changes = transaction.changes
        do throws(ArgumentFailure) {
            let batch = changes.isEmpty ? nil : try self.loop.handler.batch(changes, connection: &self.state)
            self.reply.array(transaction.requests.count)
            self.machine.transaction = transaction
            self.machine.transaction.run(batch)
        } catch {
            self.reply.error(code: .execAbort, "nothing was done: \(error.code) \(error.message)")
        }
    }
}
