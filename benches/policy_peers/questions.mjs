// The same two questions to another evaluator: npm install @cloud-copilot/iam-simulate, then
// node questions.mjs FOLDER, with the inputs that `cargo bench --bench policy -- FOLDER` wrote.
import { readFileSync } from 'node:fs'
import { runSimulation } from '@cloud-copilot/iam-simulate'

const live = readFileSync(`${process.argv[2]}/same.json`, 'utf8')
const identity = {
  Version: '2012-10-17',
  Statement: [{ Effect: 'Allow', Action: 'ecr:*', Resource: '*' }],
}

async function once() {
  const answers = []
  const resourcePolicy = JSON.parse(live)
  for (const action of ['ecr:BatchGetImage', 'ecr:GetDownloadUrlForLayer']) {
    const answer = await runSimulation({
      request: {
        principal: 'arn:aws:iam::210987654321:role/ecsInstanceRole',
        action,
        resource: {
          resource: 'arn:aws:ecr:eu-west-1:123456789012:repository/app',
          accountId: '123456789012',
        },
        contextVariables: { 'aws:PrincipalOrgID': 'o-abc123' },
      },
      identityPolicies: [{ name: 'identity', policy: identity }],
      serviceControlPolicies: [],
      resourceControlPolicies: [],
      resourcePolicy,
    }, {})
    answers.push(answer.overallResult)
  }
  return answers.join()
}

for (let n = 0; n < 200; n++) await once()
const began = process.cpuUsage()
for (let n = 0; n < 500; n++) {
  if ((await once()) !== 'Allowed,Allowed') throw new Error('it answers otherwise')
}
const used = process.cpuUsage(began)
console.log(`${((used.user + used.system) / 500).toFixed(0)} us for two questions`)
