// Applies cdk-nag's rule packs to the templates of a folder: node nag.js FOLDER -> JSON
//   {pack: {applied: [rule, ...], violations: [{rule, template, resource}, ...]}}
'use strict';
const fs = require('fs');
const path = require('path');
const { App, Stack } = require('aws-cdk-lib');
const { CfnInclude } = require('aws-cdk-lib/cloudformation-include');
const nag = require('cdk-nag');

const folder = process.argv[2];
const app = new App({ analyticsReporting: false });
for (const file of fs.readdirSync(folder)) {
  const stack = new Stack(app, path.basename(file, path.extname(file)));
  new CfnInclude(stack, 'Template', { templateFile: path.join(folder, file) });
}

const found = {};
for (const name of ['PCIDSS321Checks', 'NIST80053R5Checks', 'HIPAASecurityChecks', 'AwsSolutionsChecks']) {
  const pack = new nag[name](app);
  const applied = new Set();
  const apply = pack.applyRule.bind(pack);
  // A rule counts where it found something that it is about.
  pack.applyRule = (params) => {
    let result;
    try {
      result = params.rule(params.node);
    } catch {
      result = undefined; // told as a violation, below
    }
    if (result !== nag.NagRuleCompliance.NOT_APPLICABLE) applied.add(params.rule.name);
    apply(params);
  };
  const { violations } = pack.validateScope(app);
  found[name] = {
    applied: [...applied].sort(),
    violations: violations.flatMap((violation) =>
      violation.violatingResources.map(({ constructPath }) => {
        const [template, , resource] = constructPath.split('/');
        return { rule: violation.ruleName, template, resource };
      })
    ),
  };
}
console.log(JSON.stringify(found));
